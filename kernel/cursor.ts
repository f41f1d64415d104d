// A place in text that is being parsed. Each function steps over what it recognises, and never past
// the end.

@unmanaged
export class Cursor {
  at: usize;
  end: usize;

  /** Begins at the first of `bytes` bytes. */
  begin(address: usize, bytes: u32): void {
    this.at = address;
    this.end = address + bytes;
  }

  get isAtEnd(): bool {
    return this.at == this.end;
  }

  is(byte: u32): bool {
    return this.at != this.end && load<u8>(this.at) == byte;
  }

  /** Steps over `byte`. False: it is not there. */
  skip(byte: u32): bool {
    if (!this.is(byte)) return false;
    this.at++;
    return true;
  }

  /** Steps over `word`, which is ASCII. False: it is not there, and nothing was skipped. */
  skipWord(word: string): bool {
    const at = this.at;
    for (let i = 0; i < word.length; i++) {
      if (this.skip(word.charCodeAt(i))) continue;
      this.at = at;
      return false;
    }
    return true;
  }

  /** Goes to the next `byte`, or to the end. */
  seek(byte: u32): void {
    while (this.at != this.end && load<u8>(this.at) != byte) this.at++;
  }

  /** Steps over digits of `base`, at most 16. Returns the number modulo 2^32; 0 without a digit. */
  number(base: u32): u32 {
    let value: u32 = 0;
    for (; this.at != this.end; this.at++) {
      const digit = digitOf(load<u8>(this.at));
      if (digit >= base) break;
      value = value * base + digit;
    }
    return value;
  }
}

/** The value of a decimal or hexadecimal digit; for other bytes a large number. */
function digitOf(byte: u32): u32 {
  const decimal = byte - 0x30;
  if (decimal <= 9) return decimal;
  const letter = (byte | 0x20) - 0x61;
  return letter < 6 ? letter + 10 : u32.MAX_VALUE;
}
