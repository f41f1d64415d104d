// The connections of a device: visited while they are deleted, and found by their ports.
import { describe, expect, it } from "vitest";
import { VMADDR_CID_HOST } from "../../../abi/vsock.ts";
import { HOST_PORT_MIN } from "../../../host/devices/vsock/routes/route.ts";
import { Table } from "../../../host/devices/vsock/routes/table.ts";

interface Entry {
  place: number;
  serial: number;
  readonly route: { peerCid: number; hostPort: number; guestPort: number; type: number };
}

function begin(table: Table<Entry>, guestPort: number): Entry {
  const hostPort = table.allocatePort();
  const entry = {
    place: 0,
    serial: 0,
    route: { peerCid: VMADDR_CID_HOST, hostPort, guestPort, type: 1 },
  };
  table.add(entry);
  return entry;
}

const find = (table: Table<Entry>, { route: { peerCid, hostPort, guestPort } }: Entry) =>
  table.find(peerCid, hostPort, guestPort);

describe("the table of connections", () => {
  it("visits each once, though whoever is visited is deleted", () => {
    const table = new Table<Entry>([]);
    const begun = Array.from({ length: 9 }, (_, i) => begin(table, i));
    const visited: Entry[] = [];
    for (const one of table.all) {
      visited.push(one);
      if (one.route.guestPort % 2 === 0) table.all.delete(one);
    }
    expect(new Set(visited)).toEqual(new Set(begun));
    expect(visited).toHaveLength(9);
    expect(Array.from(table.all, ({ route }) => route.guestPort).sort()).toEqual([1, 3, 5, 7]);
    expect(table.all.size).toBe(4);
  });

  it("goes on when those that were not visited yet are deleted", () => {
    const table = new Table<Entry>([]);
    const begun = Array.from({ length: 4 }, (_, i) => begin(table, i));
    let visits = 0;
    for (const _ of table.all) {
      visits++;
      for (const one of begun.splice(0)) table.all.delete(one);
    }
    expect(visits).toBe(1);
    expect(table.all.size).toBe(0);
  });

  it("leaves nobody out when others than the visited are deleted", () => {
    const table = new Table<Entry>([]);
    const begun = Array.from({ length: 9 }, (_, i) => begin(table, i));
    const doomed = [0, 8, 4, 7].map((place) => begun[place] as Entry);
    const visited = new Set<Entry>();
    for (const one of table.all) {
      visited.add(one);
      const other = doomed.pop();
      if (other !== undefined) table.all.delete(other);
    }
    expect([...table.all].map(({ route }) => route.guestPort).toSorted()).toEqual([1, 2, 3, 5, 6]);
    for (const one of table.all) expect(visited).toContain(one);
  });

  it("lists the oldest first, whoever has gone between", () => {
    const table = new Table<Entry>([]);
    const begun = Array.from({ length: 6 }, (_, i) => begin(table, i));
    for (const place of [0, 3]) table.all.delete(begun[place] as Entry);
    begin(table, 6);
    expect(table.all.oldestFirst().map(({ route }) => route.guestPort)).toEqual([1, 2, 4, 5, 6]);
  });

  it("finds each of thousands by its ports, and gives no port twice", () => {
    const table = new Table<Entry>([]);
    const live: Entry[] = [];
    for (let i = 0; i < 5000; i++) {
      live.push(begin(table, 80));
      if (i % 3 === 2) {
        const [old] = live.splice((i * 7) % live.length, 1) as [Entry];
        table.freePorts(old);
        expect(find(table, old)).toBeUndefined();
      }
    }
    for (const one of live) expect(find(table, one)).toBe(one);
    expect(new Set(live.map(({ route }) => route.hostPort)).size).toBe(live.length);
  });

  it("finds nothing by a port that shares a slot with one in use, or by another guest port", () => {
    const table = new Table<Entry>([]);
    const { route } = begin(table, 80);
    expect(table.find(VMADDR_CID_HOST, route.hostPort + 2 ** 20, 80)).toBeUndefined();
    expect(table.find(VMADDR_CID_HOST, route.hostPort, 81)).toBeUndefined();
    expect(route.hostPort).toBe(HOST_PORT_MIN);
  });
});
