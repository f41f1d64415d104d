// The source map of an image, as far as a stack needs it: which place in AssemblyScript an offset
// in the image comes from. The format is that of ECMA-426; an image is a single generated line,
// whose columns are offsets in it.

/** 0-based. */
export interface SourcePosition {
  readonly source: string;
  readonly line: number;
  readonly column: number;
}

interface Segment {
  readonly offset: number;
  /** null: code that no source was compiled to. */
  readonly position: SourcePosition | null;
}

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const CONTINUES = 32;

export class SourceMap {
  readonly #segments: Segment[] = [];

  /** Throws if the text is no source map. */
  constructor(text: string) {
    const { mappings, sources } = JSON.parse(text) as { mappings: string; sources: string[] };
    let [offset, source, line, column] = [0, 0, 0, 0];
    for (const segment of mappings.split(";", 1)[0]?.split(",") ?? []) {
      if (segment === "") continue;
      const fields = decode(segment);
      offset += fields[0] ?? 0;
      source += fields[1] ?? 0;
      line += fields[2] ?? 0;
      column += fields[3] ?? 0;
      const name = fields.length < 4 ? undefined : sources[source];
      const position = name === undefined ? null : { source: name, line, column };
      this.#segments.push({ offset, position });
    }
  }

  /** The position of the last segment that begins at or before the offset, if it has one. */
  find(offset: number): SourcePosition | null {
    return this.#segments.findLast((segment) => segment.offset <= offset)?.position ?? null;
  }
}

/** Base64 VLQ: five bits a digit, least significant first; the lowest bit is the sign. */
function decode(text: string): number[] {
  const fields: number[] = [];
  let [value, scale] = [0, 1];
  for (const digit of text) {
    const bits = DIGITS.indexOf(digit);
    if (bits < 0) throw new Error(`source map: ${digit} is no base64 digit`);
    value += (bits % CONTINUES) * scale;
    scale *= CONTINUES;
    if (bits >= CONTINUES) continue;
    fields.push(value % 2 === 1 ? -(value - 1) / 2 : value / 2);
    [value, scale] = [0, 1];
  }
  return fields;
}
