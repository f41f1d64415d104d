// Large whole numbers that are not negative, in static memory: as much arithmetic as the conversion
// of doubles needs. The words follow the count, the lowest first; the highest is not 0.

const WORDS: usize = 4; // offset of the first word
/**
 * 800 digits take 2658 bits. Divided by 10^1130, the most that matters, they need 2700 bits more to
 * leave the 66 of a quotient.
 */
const WORDS_MAX: u32 = 176;

/** It takes BIG_NUMBER_BYTES. */
@unmanaged
export class BigNumber {
  private count: u32;

  clear(): void {
    this.count = 0;
  }

  set(value: u64): void {
    this.count = 0;
    for (; value != 0; value >>= 32) this.push(<u32>value);
  }

  copy(other: BigNumber): void {
    this.count = other.count;
    memory.copy(this.address(0), other.address(0), other.count << 2);
  }

  /** this * factor + summand */
  multiplyAdd(factor: u32, summand: u32): void {
    let carry: u64 = summand;
    for (let i: u32 = 0; i < this.count; i++) {
      carry += <u64>this.word(i) * factor;
      this.setWord(i, <u32>carry);
      carry >>= 32;
    }
    if (carry != 0) this.push(<u32>carry);
  }

  multiplyByPowerOfTen(exponent: u32): void {
    for (; exponent >= 9; exponent -= 9) this.multiplyAdd(1_000_000_000, 0);
    let factor: u32 = 1;
    for (; exponent != 0; exponent--) factor *= 10;
    this.multiplyAdd(factor, 0);
  }

  /** this / divisor; returns the remainder. */
  divide(divisor: u32): u32 {
    let rest: u64 = 0;
    for (let i = this.count; i-- > 0; ) {
      rest = (rest << 32) | this.word(i);
      this.setWord(i, <u32>(rest / divisor));
      rest %= divisor;
    }
    this.trim();
    return <u32>rest;
  }

  shiftLeft(bits: u32): void {
    if (this.count == 0) return;
    const words = bits >> 5;
    assert(this.count + words <= WORDS_MAX, "json: number");
    memory.copy(this.address(words), this.address(0), this.count << 2);
    memory.fill(this.address(0), 0, words << 2);
    this.count += words;
    if ((bits & 31) != 0) this.multiplyAdd(1 << (bits & 31), 0);
  }

  add(other: BigNumber): void {
    let carry: u64 = 0;
    for (let i: u32 = 0; i < other.count || carry != 0; i++) {
      if (i == this.count) this.push(0);
      carry += <u64>this.word(i) + (i < other.count ? other.word(i) : 0);
      this.setWord(i, <u32>carry);
      carry >>= 32;
    }
  }

  /** `other` is not larger. */
  subtract(other: BigNumber): void {
    let borrow: u64 = 0;
    for (let i: u32 = 0; i < other.count || borrow != 0; i++) {
      const take = borrow + (i < other.count ? other.word(i) : 0);
      const from: u64 = this.word(i);
      this.setWord(i, <u32>(from - take));
      borrow = from < take ? 1 : 0;
    }
    this.trim();
  }

  /** Below zero, zero or above: as this is less than, equal to, or more than `other`. */
  compare(other: BigNumber): i32 {
    if (this.count != other.count) return this.count < other.count ? -1 : 1;
    for (let i = this.count; i-- > 0; ) {
      const a = this.word(i);
      const b = other.word(i);
      if (a != b) return a < b ? -1 : 1;
    }
    return 0;
  }

  /** The number of bits; 0 for 0. */
  bits(): i32 {
    if (this.count == 0) return 0;
    return <i32>((this.count << 5) - clz(this.word(this.count - 1)));
  }

  bit(n: i32): bool {
    const i = <u32>n >> 5;
    return i < this.count && ((this.word(i) >> (n & 31)) & 1) != 0;
  }

  /** Is a bit below bit `n` set? */
  anyBelow(n: i32): bool {
    const whole = <u32>n >> 5;
    for (let i: u32 = 0; i < min(whole, this.count); i++) if (this.word(i) != 0) return true;
    return whole < this.count && (this.word(whole) & ((1 << (n & 31)) - 1)) != 0;
  }

  /** The value of a number of at most 64 bits. */
  low64(): u64 {
    return this.wordOr0(0) | (this.wordOr0(1) << 32);
  }

  /** this >> n, of which at most 64 bits are left. */
  bitsFrom(n: i32): u64 {
    const i = <u32>n >> 5;
    const shift = n & 31;
    const low = this.wordOr0(i) | (this.wordOr0(i + 1) << 32);
    return shift == 0 ? low : (low >> shift) | (this.wordOr0(i + 2) << (64 - shift));
  }

  private wordOr0(i: u32): u64 {
    return i < this.count ? this.word(i) : 0;
  }

  private address(i: u32): usize {
    return changetype<usize>(this) + WORDS + (i << 2);
  }

  private word(i: u32): u32 {
    return load<u32>(this.address(i));
  }

  private setWord(i: u32, value: u32): void {
    store<u32>(this.address(i), value);
  }

  private push(value: u32): void {
    assert(this.count < WORDS_MAX, "json: number");
    this.setWord(this.count++, value);
  }

  private trim(): void {
    while (this.count != 0 && this.word(this.count - 1) == 0) this.count--;
  }
}

/** A BigNumber's memory: 4 + 4 * WORDS_MAX. */
export const BIG_NUMBER_BYTES = 708;
