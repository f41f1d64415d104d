// Constants of the socket calls. Numbers and meanings are Linux's.

export const SOCK_STREAM: i32 = 1;
/** Messages, which arrive whole. */
export const SOCK_SEQPACKET: i32 = 5;

/** SysSocketRecv: return the length of the message, not of the part that fitted. */
export const MSG_TRUNC: u32 = 0x20;
export const MSG_DONTWAIT: u32 = 0x40;
/** SysSocketSend: the message ends a record. */
export const MSG_EOR: u32 = 0x80;
/** Do not wait for the buffer: SysSocketSendCompletion tells when it is free. */
export const MSG_ZEROCOPY: u32 = 0x400_0000;
