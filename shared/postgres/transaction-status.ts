import type { ClientBase } from "pg";

/**
 * Where the client's session stands, as the server said last: `I` outside a transaction, `T` in
 * one, `E` in one that failed; null before the first word. The driver's types leave this out.
 */
export function transactionStatus(client: ClientBase): string | null {
  return (client as unknown as { getTransactionStatus(): string | null }).getTransactionStatus();
}
