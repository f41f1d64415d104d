// Reads the JSON values of a snapshot, which anybody may have written. Whatever is not as expected
// is an error that names the place.
import { damaged } from "./errors.ts";

const U16_MAX = 0xffff;
const U32_MAX = 0xffffffff;
const U64_MAX = (1n << 64n) - 1n;
/** Of one text, and of the digits of a number. */
const TEXT_MAX = 65536;

/** The fields of one JSON object. */
export class Fields {
  readonly #object: Readonly<Record<string, unknown>>;
  readonly #name: string;

  /** `name` is for messages. */
  constructor(value: unknown, name: string) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw damaged(`${name} is not an object`);
    }
    this.#object = value as Record<string, unknown>;
    this.#name = name;
  }

  /** Any value; undefined: missing. */
  any(key: string): unknown {
    return Object.hasOwn(this.#object, key) ? this.#object[key] : undefined;
  }

  /** An integer from 0 to `most`. */
  count(key: string, most: number): number {
    return this.#countOf(this.any(key), `${this.#name}.${key}`, most);
  }

  u16(key: string): number {
    return this.count(key, U16_MAX);
  }

  u32(key: string): number {
    return this.count(key, U32_MAX);
  }

  /** A u64 as decimal digits. */
  u64(key: string): bigint {
    const value = this.text(key);
    const number = /^\d{1,20}$/.test(value) ? BigInt(value) : U64_MAX + 1n;
    if (number > U64_MAX) throw this.#unlike(key, "a number of 64 bits");
    return number;
  }

  /** A number of at most 64 bits, with or without sign, as decimal digits. */
  integer(key: string): bigint {
    const value = this.text(key);
    if (!/^-?\d{1,20}$/.test(value)) throw this.#unlike(key, "an integer");
    return BigInt(value);
  }

  flag(key: string): boolean {
    const value = this.any(key);
    if (typeof value !== "boolean") throw this.#unlike(key, "true or false");
    return value;
  }

  text(key: string, most = TEXT_MAX): string {
    const value = this.any(key);
    if (typeof value !== "string" || value.length > most) {
      throw this.#unlike(key, `a text of at most ${most} characters`);
    }
    return value;
  }

  /** Bytes, as a text of one character for each. */
  bytes(key: string, most: number): Uint8Array {
    const text = this.text(key, most);
    const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
    if (toText(bytes) !== text) throw this.#unlike(key, "bytes");
    return bytes;
  }

  object(key: string): Fields {
    return new Fields(this.any(key), `${this.#name}.${key}`);
  }

  /** A list of at most `most` values. */
  list(key: string, most: number): readonly unknown[] {
    const value = this.any(key);
    if (!Array.isArray(value) || value.length > most) {
      throw this.#unlike(key, `a list of at most ${most} values`);
    }
    return value;
  }

  objects(key: string, most: number): Fields[] {
    return this.list(key, most).map((one, i) => new Fields(one, `${this.#name}.${key}[${i}]`));
  }

  /** A list of integers from 0 to `most`. */
  counts(key: string, length: number, most: number): number[] {
    const name = `${this.#name}.${key}`;
    return this.list(key, length).map((one, i) => this.#countOf(one, `${name}[${i}]`, most));
  }

  /** An error about one of the fields. */
  #unlike(key: string, expected: string) {
    return damaged(`${this.#name}.${key} is not ${expected}`);
  }

  #countOf(value: unknown, name: string, most: number): number {
    if (!(Number.isInteger(value) && (value as number) >= 0 && (value as number) <= most)) {
      throw damaged(`${name} is not a number from 0 to ${most}`);
    }
    return value as number;
  }
}

/** For Fields.bytes(). */
export function toText(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}
