// Metrics in Prometheus' text format 0.0.4, or in OpenMetrics 1.0.

/** Labels of a sample, and its value. */
export type Sample = readonly [Readonly<Record<string, string>>, number];

/** The form of an exposition. */
export type MetricsFormat = "text" | "openmetrics";

export const CONTENT_TYPES: Readonly<Record<MetricsFormat, string>> = {
  text: "text/plain; version=0.0.4; charset=utf-8",
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
};

/** Numbers of a histogram: how many values are in each bucket, and above all of them. */
export interface Histogram {
  readonly bounds: readonly number[];
  readonly counts: readonly number[];
  readonly above: number;
  readonly sum: number;
}

/** Families of metrics, one after the other. Names are those of the text format. */
export class Metrics {
  readonly #format: MetricsFormat;
  #text = "";
  readonly #stems = new Set<string>();

  constructor(format: MetricsFormat) {
    this.#format = format;
  }

  /** `name` ends in _total. */
  counter(name: string, help: string, samples: readonly Sample[]): void {
    // In OpenMetrics the suffix belongs to the samples.
    const family = this.#format === "openmetrics" ? name.replace(/_total$/, "") : name;
    this.#family(family, "counter", help);
    for (const [labels, value] of samples) this.#sample(name, labels, value);
  }

  gauge(name: string, help: string, samples: readonly Sample[]): void {
    this.#family(name, "gauge", help);
    for (const [labels, value] of samples) this.#sample(name, labels, value);
  }

  histogram(name: string, help: string, { bounds, counts, above, sum }: Histogram): void {
    this.#family(name, "histogram", help);
    let count = 0;
    for (const [i, bound] of bounds.entries()) {
      count += counts[i] ?? 0;
      this.#sample(`${name}_bucket`, { le: decimal(bound) }, count);
    }
    count += above;
    this.#sample(`${name}_bucket`, { le: "+Inf" }, count);
    this.#sample(`${name}_sum`, {}, sum);
    this.#sample(`${name}_count`, {}, count);
  }

  summary(
    name: string,
    help: string,
    quantiles: readonly (readonly [number, number])[],
    sum: number,
    count: number,
  ): void {
    this.#family(name, "summary", help);
    for (const [quantile, value] of quantiles) {
      this.#sample(name, { quantile: decimal(quantile) }, value);
    }
    this.#sample(`${name}_sum`, {}, sum);
    this.#sample(`${name}_count`, {}, count);
  }

  /** Could samples of a family of this name be taken for those of one that is there already? */
  has(name: string): boolean {
    return this.#stems.has(stemOf(name));
  }

  /** All of it. */
  toString(): string {
    return this.#format === "openmetrics" ? `${this.#text}# EOF\n` : this.#text;
  }

  #family(name: string, type: string, help: string): void {
    this.#stems.add(stemOf(name));
    const quoted = this.#format === "openmetrics" ? escaped(help) : help.replaceAll("\\", "\\\\");
    this.#text += `# HELP ${name} ${quoted}\n# TYPE ${name} ${type}\n`;
  }

  #sample(name: string, labels: Readonly<Record<string, string>>, value: number): void {
    const list = Object.entries(labels).map(([key, text]) => `${key}="${escaped(text)}"`);
    const set = list.length === 0 ? "" : `{${list.join(",")}}`;
    this.#text += `${name}${set} ${valueText(value)}\n`;
  }
}

/** Without what the formats append to the name of a family for its samples. */
const stemOf = (name: string): string =>
  name.replace(/(_(total|sum|count|bucket|created|info))+$/, "");

const escaped = (text: string): string =>
  text.replace(/[\\"\n]/g, (one) => (one === "\n" ? "\\n" : `\\${one}`));

/** OpenMetrics wants a bound to be a float. */
const decimal = (value: number): string => (Number.isInteger(value) ? `${value}.0` : `${value}`);

function valueText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  return Number.isNaN(value) ? "NaN" : `${value}`;
}
