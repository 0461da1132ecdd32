import { createNoopMeter, type Meter } from "@opentelemetry/api";

/** A meter that notes what is recorded: name, value and attributes. */
export function notingMeter(): { readonly meter: Meter; readonly noted: unknown[] } {
  const noted: unknown[] = [];
  const meter = createNoopMeter();
  const note = (name: string) => (value: number, attributes?: unknown) =>
    noted.push([name, value, attributes]);
  meter.createCounter = (name) => ({ add: note(name) });
  meter.createHistogram = (name) => ({ record: note(name) });
  return { meter, noted };
}
