import { describe, expect, it } from "vitest";
import { Courtesy } from "./courtesy.ts";

describe("courtesy", () => {
  it("leaves everything to others while no queries come", () => {
    const courtesy = new Courtesy(1_000);
    expect(courtesy.roomFor(4, 64, 0)).toEqual({ places: 4, texts: 64 });
    expect(courtesy.queryComes(5_000)).toBe(true);
    expect(courtesy.queryComes(5_400)).toBe(false);
    expect(courtesy.roomFor(4, 64, 5_900).places).toBeLessThan(4);
    expect(courtesy.roomFor(4, 64, 6_400)).toEqual({ places: 4, texts: 64 });
  });

  it("gives way where queries are held up, down to one text at a time", () => {
    const courtesy = new Courtesy(1_000);
    courtesy.queryComes(0);
    courtesy.queryTook(10, true);
    for (let i = 0; i < 20; i++) courtesy.queryTook(100, true);
    expect(courtesy.roomFor(4, 64, 1)).toEqual({ places: 1, texts: 1 });
  });

  it("takes up to half of the places where they are not", () => {
    const courtesy = new Courtesy(1_000);
    courtesy.queryComes(0);
    for (let i = 0; i < 100; i++) courtesy.queryTook(10 + (i % 3), true);
    expect(courtesy.roomFor(4, 64, 1)).toEqual({ places: 2, texts: 64 });
    expect(courtesy.roomFor(1, 64, 1)).toEqual({ places: 1, texts: 64 });
  });

  it("learns nothing of how much there is room for from queries without others beside them", () => {
    const courtesy = new Courtesy(1_000);
    courtesy.queryComes(0);
    const before = courtesy.roomFor(4, 64, 1);
    for (let i = 0; i < 100; i++) courtesy.queryTook(10 + (i % 3), false);
    expect(courtesy.roomFor(4, 64, 1)).toEqual(before);
  });
});
