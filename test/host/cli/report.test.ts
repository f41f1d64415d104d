// Numbers of a service as data: what those of several machines add up to.
import { expect, test } from "vitest";
import { metricsText } from "../../../host/cli/service/metrics.ts";
import { combine, NO_COUNTS, type ServiceReport } from "../../../host/cli/service/report.ts";
import { addCounts } from "../../../host/cli/service/totals.ts";
import type { AppCounter } from "../../../host/counters.ts";

const shown = (name: string, value: number, label: string | null = null): [string, AppCounter] => {
  const kind = name.endsWith("_total") ? "counter" : "gauge";
  const set = label === null ? null : { name: "by", value: label };
  return [`${name} ${label}`, { name, label: set, kind, help: "Help.", value }];
};

function report(
  counters: readonly (readonly [string, AppCounter])[],
  gauges: readonly (readonly [string, AppCounter])[] = [],
  lags: readonly number[] = [],
): ServiceReport {
  const none = combine([], NO_COUNTS, 1);
  const totals = { ...NO_COUNTS.totals, application: new Map(counters) };
  return structuredClone({
    ...none,
    counts: { ...NO_COUNTS, totals },
    gauges: { ...none.gauges, application: new Map(gauges) },
    ...{ lags, isRetired: false },
  });
}

const RELOADED = { successful: true, successMs: 0, waiting: [] };

/** The samples of applications. */
function samples(sum: Omit<ServiceReport, "isRetired">): string[] {
  const text = metricsText({ ...sum, isRetired: false }, RELOADED, "text");
  return text.split("\n").filter((line) => line.startsWith("torito_app_"));
}

test("counters of applications add up with those of machines that are gone, gauges do not", () => {
  const counters = (n: number) => [shown("app_a_total", n, "x"), shown("app_a_total", 2 * n, "y")];
  const gone = report(counters(1), [shown("app_b", 1)]);
  const past = addCounts(NO_COUNTS, gone.counts);
  const present = [10, 100].map((n) => report(counters(n), [shown("app_b", n)]));
  expect(samples(combine(present, past, 2))).toEqual([
    'torito_app_a_total{by="x"} 111',
    'torito_app_a_total{by="y"} 222',
    "torito_app_b 110",
  ]);
});

test("a guest that names others each time it begins has a bounded number of series", () => {
  let past = NO_COUNTS;
  for (let life = 0; life < 200; life++) {
    const counters = Array.from({ length: 32 }, (_, i) => shown(`app_${life}_${i}_total`, 1));
    past = addCounts(past, report(counters).counts);
  }
  expect(past.totals.application.size).toBe(4096);
  const sum = combine([report([shown("app_0_0_total", 5)], [shown("app_c", 1)])], past, 1);
  expect(samples(sum)).toHaveLength(32);
  expect(samples(sum)[0]).toBe("torito_app_0_0_total 6");
});

test("names of objects' own fields are names like others", () => {
  const sum = combine([report([], [shown("constructor", 1)]), report([])], NO_COUNTS, 2);
  expect([...sum.gauges.application.values()]).toMatchObject([{ label: null, value: 1 }]);
});

test.each(["text", "openmetrics"] as const)(
  "whatever a guest names, no sample is there twice (%s)",
  (format) => {
    const ours = metricsText(report([]), RELOADED, format);
    const hostile = [
      ...["guest_threads", "event_loop_lag_seconds_sum", "http_requests", "http_requests_created"],
      ...["http_request_duration_seconds_bucket", "guest_threads_total", "app_a", "app_a_total"],
    ].map((name) => shown(name, 7));
    const text = metricsText(report(hostile.slice(0, -1), hostile.slice(-1)), RELOADED, format);
    const added = text.split("\n").filter((line) => /torito_/.test(line) && !ours.includes(line));
    expect(added).toEqual([
      "# HELP torito_app_a Help.",
      "# TYPE torito_app_a gauge",
      "torito_app_a 7",
    ]);
  },
);

test("a help of the guest may have quotes and backslashes", () => {
  const [key, one] = shown("app_a", 1);
  const gauge = [key, { ...one, help: String.raw`of "a\b"` }] as const;
  const helpIn = (format: "text" | "openmetrics") =>
    /^# HELP torito_app_a (.*)$/m.exec(metricsText(report([], [gauge]), RELOADED, format))?.[1];
  expect(helpIn("text")).toBe(String.raw`of "a\\b"`);
  expect(helpIn("openmetrics")).toBe(String.raw`of \"a\\b\"`);
});

test("the longest lag counts, and one that is not known yet is none", () => {
  const [a, b] = [report([], [], [0.1, 0.2, 0.3]), report([], [], [0.2, Number.NaN, 0.1])];
  expect(combine([a, b], NO_COUNTS, 2).lags).toEqual([0.2, 0.2, 0.3]);
  expect(combine([report([])], NO_COUNTS, 1).lags).toEqual([Number.NaN, Number.NaN, Number.NaN]);
});
