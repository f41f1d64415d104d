// The errors of machine.fetch(). As with fetch itself, a request that gets no response rejects with
// a TypeError; its code says why.

/**
 * ENOTCONN: the machine has no vsock device, or has ended. ECONNREFUSED: the guest does not listen
 * on the port, or has no room. ECONNRESET: the guest closed the connection before the response was
 * complete. EPROTO: the response is malformed. EAGAIN: too many requests wait for a connection.
 */
export type FetchErrorCode = "ENOTCONN" | "ECONNREFUSED" | "ECONNRESET" | "EPROTO" | "EAGAIN";

/** No response, or not all of it. */
export class FetchError extends TypeError {
  readonly code: FetchErrorCode;

  constructor(code: FetchErrorCode, message: string, options?: ErrorOptions) {
    super(`fetch: ${message}`, options);
    this.code = code;
  }
}

/** The guest broke HTTP/1.1. */
export function malformed(what: string, options?: ErrorOptions): FetchError {
  return new FetchError("EPROTO", `malformed response: ${what}`, options);
}
