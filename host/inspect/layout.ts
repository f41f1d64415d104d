// Where a guest's kernel keeps its state: the constants of kernel/layout.ts, which its image
// exports.

/** By the object that they belong to: `thread.id` is the global `layout_thread_id`. */
const FIELDS = {
  table: ["slots", "capacity"],
  slot: ["bytes", "object"],
  thread: [
    ...["id", "state", "entry", "sp", "base", "limit", "nodes", "nodeCount"],
    ...["timer", "joiners"],
  ],
  timer: ["deadlineNs", "place"],
  node: ["bytes", "list"],
  interface: ["space"],
  address: ["waiters"],
  console: ["writers"],
  buffers: ["waiters", "bytes"],
  request: ["transfer", "transferAt", "waiter", "opcode"],
  socket: [
    ...["nextInBucket", "readers", "writers", "protocol", "type", "handle", "state"],
    ...["localPort", "remotePort", "remoteAddress"],
    ...["bufAlloc", "rxCnt", "fwdCnt", "txCnt", "peerBufAlloc", "peerFwdCnt"],
    ...["unread", "pinned", "loans", "backlog", "pending"],
  ],
  tcp: ["state", "una", "nxt", "wnd", "cwnd", "srtt", "retransmits", "halfOpen"],
  block: ["bytes", "length", "size", "check", "used", "free"],
} as const;

/** Addresses of tables, and how many entries they have. */
const PLACES = [
  ...["threads", "sockets", "interfaces", "interfaces_max", "card", "buckets", "buckets_count"],
];

type Fields = typeof FIELDS;

export type Layout = {
  readonly [Object in keyof Fields]: { readonly [Field in Fields[Object][number]]: number };
} & {
  readonly threads: number;
  readonly sockets: number;
  readonly interfaces: number;
  readonly interfaces_max: number;
  readonly card: number;
  readonly buckets: number;
  readonly buckets_count: number;
};

/** `global` is Machine.global. null: the image is of another kernel. */
export function readLayout(global: (name: string) => number): Layout | null {
  try {
    const entries: [string, unknown][] = PLACES.map((name) => [name, global(`layout_${name}`)]);
    for (const [object, fields] of Object.entries(FIELDS)) {
      const values = fields.map((field) => [field, global(`layout_${object}_${field}`)]);
      entries.push([object, Object.fromEntries(values)]);
    }
    return Object.fromEntries(entries) as unknown as Layout;
  } catch {
    return null;
  }
}
