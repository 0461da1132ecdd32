import { expect, test } from "vitest";
import { AnswerBudget, maxReadBytes } from "./answer-budget.ts";

const mebibyte = 1024 * 1024;

test("what each search may use never makes the whole too large", () => {
  const budget = new AnswerBudget(100);
  const taken = Array.from({ length: 100 }, () => budget.finish(mebibyte));
  const fitting = taken.filter((one) => one).length;
  expect(fitting).toBeGreaterThan(10);
  expect(fitting * mebibyte).toBeLessThanOrEqual(maxReadBytes);
});

test("large hits of some searches take nothing from those that keep to their share", () => {
  const budget = new AnswerBudget(40);
  for (let i = 0; i < 20; i++) budget.finish(mebibyte);
  for (let i = 0; i < 20; i++) expect(budget.finish(budget.share)).toBe(true);
});

test("a search that has failed leaves its share to the others", () => {
  const budget = new AnswerBudget(15);
  for (let i = 0; i < 2; i++) expect(budget.finish(0)).toBe(true);
  for (let i = 0; i < 13; i++) expect(budget.finish(1.1 * mebibyte)).toBe(true);
});
