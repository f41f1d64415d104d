// Addresses of the `user` network: those that users of slirp know (NB20). IPv4 addresses are
// unsigned numbers, the first octet highest.

/** 10.0.2.0/24. */
export const SUBNET = 0x0a000200;
export const SUBNET_MASK = 0xffffff00;
/** 10.0.2.2: the host. */
export const GATEWAY = SUBNET + 2;
/** 10.0.2.3: the relay to the host's resolver. */
export const RESOLVER = SUBNET + 3;
/** 10.0.2.15: the first guest. */
export const FIRST_GUEST = SUBNET + 15;
export const LAST_GUEST = SUBNET + 254;

/** The MACs of gateway and resolver: 52:55 and the IPv4 address. */
export const macOfOwn = (address: number): number => 0x5255 * 2 ** 32 + address;

export const isOwn = (address: number): boolean => address === GATEWAY || address === RESOLVER;

/** Is it in 10.0.2.0/24? */
export const isOnSubnet = (address: number): boolean => isIn(address, SUBNET, 24);

/** Is it in the block of `bits` that begins with `block`? */
export function isIn(address: number, block: number, bits: number): boolean {
  return address >>> (32 - bits) === block >>> (32 - bits);
}

/** null: `text` is no IPv4 address in four decimal numbers. */
export function parseIp(text: string): number | null {
  const octets = text.split(".");
  const isOctet = (word: string) => /^(0|[1-9]\d{0,2})$/.test(word) && Number(word) < 256;
  if (octets.length !== 4 || !octets.every(isOctet)) return null;
  return octets.reduce((sum, octet) => sum * 256 + Number(octet), 0);
}

export function formatIp(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join(".");
}
