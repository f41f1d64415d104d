// Constants of the socket calls. Numbers and meanings are Linux's.

/** Families of addresses; AF_UNSPEC means AF_VSOCK. */
export const AF_UNSPEC: i32 = 0;
export const AF_INET: i32 = 2;
export const AF_VSOCK: i32 = 40;

export const SOCK_STREAM: i32 = 1;
/** Datagrams, on AF_INET. */
export const SOCK_DGRAM: i32 = 2;
/** Messages, which arrive whole. */
export const SOCK_SEQPACKET: i32 = 5;

/** SysSocketRecv: return the length of the message, not of the part that fitted. */
export const MSG_TRUNC: u32 = 0x20;
export const MSG_DONTWAIT: u32 = 0x40;
/** SysSocketSend: more follows at once, so a short segment of TCP may wait for it. */
export const MSG_MORE: u32 = 0x8000;
/** SysSocketSend: the message ends a record. */
export const MSG_EOR: u32 = 0x80;
/** Do not wait for the buffer: SysSocketSendCompletion tells when it is free. */
export const MSG_ZEROCOPY: u32 = 0x400_0000;
