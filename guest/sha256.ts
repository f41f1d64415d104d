// SHA-256 (FIPS 180-4), in pieces of any size. Leaves.

const BLOCK_BYTES: u32 = 64;
const LENGTH_BYTES: u32 = 8;

/** The first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
const K: usize = memory.data<u32>([
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
]);
/** The message schedule: nothing yields while it is in use. */
const w: usize = memory.data(256, 4);

/** A hash under way. begin() comes first. */
@unmanaged
export class Sha256 {
  private h0: u32;
  private h1: u32;
  private h2: u32;
  private h3: u32;
  private h4: u32;
  private h5: u32;
  private h6: u32;
  private h7: u32;
  private bytes: u64; // of the message so far
  private used: u32; // bytes of the block that have come
  private block0: u64; // 64 bytes
  private block1: u64;
  private block2: u64;
  private block3: u64;
  private block4: u64;
  private block5: u64;
  private block6: u64;
  private block7: u64;

  /** The first half of the digest, after finish(). */
  get high(): u64 {
    return (<u64>this.h0 << 32) | this.h1;
  }

  /** The second quarter. */
  get low(): u64 {
    return (<u64>this.h2 << 32) | this.h3;
  }

  /** Begins another message. */
  begin(): void {
    this.h0 = 0x6a09e667;
    this.h1 = 0xbb67ae85;
    this.h2 = 0x3c6ef372;
    this.h3 = 0xa54ff53a;
    this.h4 = 0x510e527f;
    this.h5 = 0x9b05688c;
    this.h6 = 0x1f83d9ab;
    this.h7 = 0x5be0cd19;
    this.bytes = 0;
    this.used = 0;
  }

  /** Adds bytes to the message. */
  update(at: usize, bytes: u32): void {
    this.bytes += bytes;
    const end = at + bytes;
    if (this.used != 0) {
      const fill = min(BLOCK_BYTES - this.used, bytes);
      memory.copy(this.block + this.used, at, fill);
      this.used += fill;
      at += fill;
      if (this.used < BLOCK_BYTES) return;
      this.compress(this.block);
      this.used = 0;
    }
    for (; end - at >= BLOCK_BYTES; at += BLOCK_BYTES) this.compress(at);
    this.used = <u32>(end - at);
    memory.copy(this.block, at, this.used);
  }

  /** Ends the message. */
  finish(): void {
    const block = this.block;
    store<u8>(block + this.used++, 0x80);
    if (this.used > BLOCK_BYTES - LENGTH_BYTES) {
      memory.fill(block + this.used, 0, BLOCK_BYTES - this.used);
      this.compress(block);
      this.used = 0;
    }
    memory.fill(block + this.used, 0, BLOCK_BYTES - LENGTH_BYTES - this.used);
    store<u64>(block + BLOCK_BYTES - LENGTH_BYTES, bswap<u64>(this.bytes << 3));
    this.compress(block);
  }

  private get block(): usize {
    return changetype<usize>(this) + offsetof<Sha256>("block0");
  }

  private compress(block: usize): void {
    schedule(block);
    let a = this.h0;
    let b = this.h1;
    let c = this.h2;
    let d = this.h3;
    let e = this.h4;
    let f = this.h5;
    let g = this.h6;
    let h = this.h7;
    for (let i: usize = 0; i < 256; i += 4) {
      const s1 = rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25);
      const t1 = h + s1 + ((e & f) ^ (~e & g)) + load<u32>(K + i) + load<u32>(w + i);
      const s0 = rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22);
      const t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
      h = g;
      g = f;
      f = e;
      e = d + t1;
      d = c;
      c = b;
      b = a;
      a = t1 + t2;
    }
    this.h0 += a;
    this.h1 += b;
    this.h2 += c;
    this.h3 += d;
    this.h4 += e;
    this.h5 += f;
    this.h6 += g;
    this.h7 += h;
  }
}
function schedule(block: usize): void {
  for (let i: usize = 0; i < 64; i += 4) store<u32>(w + i, bswap<u32>(load<u32>(block + i)));
  for (let at = w + 64; at < w + 256; at += 4) {
    const w15 = load<u32>(at - 60);
    const w2 = load<u32>(at - 8);
    const s0 = rotr(w15, 7) ^ rotr(w15, 18) ^ (w15 >> 3);
    const s1 = rotr(w2, 17) ^ rotr(w2, 19) ^ (w2 >> 10);
    store<u32>(at, load<u32>(at - 64) + s0 + load<u32>(at - 28) + s1);
  }
}
