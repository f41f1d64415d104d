// Where packets of guests may go.
import { describe, expect, test } from "vitest";
import { Policy, type PolicyOptions } from "../../../../host/devices/net/user/policy.ts";
import { ipNumber } from "../../../support/frames.ts";

const GATEWAY = "10.0.2.2";
const RESOLVER = "10.0.2.3";

function create(options: Partial<PolicyOptions> = {}) {
  const ownAddresses = () => ["127.0.0.1", "192.168.7.7", "100.64.3.4"];
  const policy = new Policy({ ownAddresses, resolvers: () => ["192.168.7.1"], ...options });
  return (address: string, port: number) => policy.route(ipNumber(address), port);
}

const INSIDE = ["10.0.2.0", "10.0.2.1", "10.0.2.15", "10.0.2.16", "10.0.2.255"];
const CLOSED = [
  ...["0.0.0.0", "0.1.2.3", "127.0.0.1", "127.0.0.53", "127.255.255.255"],
  ...["169.254.0.1", "169.254.169.254", "224.0.0.1", "239.255.255.250", "240.0.0.1"],
  ...["255.255.255.255", "192.168.7.7", "100.64.3.4"],
];
const OPEN = ["9.9.9.9", "10.0.3.2", "10.0.1.2", "126.255.255.255", "128.0.0.0", "169.253.1.1"];

describe("a policy", () => {
  test("nothing leaves by default", () => {
    const route = create();
    for (const address of [GATEWAY, RESOLVER, ...INSIDE, ...CLOSED, ...OPEN]) {
      for (const port of [53, 80, 5001]) expect(route(address, port), address).toBeNull();
    }
  });

  test("named ports of the gateway are the host's own", () => {
    const route = create({ allow: [5001, "5002"] });
    expect(route(GATEWAY, 5001)).toEqual({ host: "127.0.0.1", port: 5001 });
    expect(route(GATEWAY, 5002)).toEqual({ host: "127.0.0.1", port: 5002 });
    for (const port of [0, 53, 5000, 5003]) expect(route(GATEWAY, port)).toBeNull();
    for (const address of [RESOLVER, ...INSIDE, ...CLOSED, ...OPEN]) {
      expect(route(address, 5001), address).toBeNull();
    }
  });

  test("`any` opens all but this host, its network, and what is no host on the Internet", () => {
    const route = create({ outbound: "any" });
    for (const host of OPEN) expect(route(host, 80)).toEqual({ host, port: 80 });
    for (const address of [GATEWAY, ...INSIDE, ...CLOSED]) {
      expect(route(address, 80), address).toBeNull();
    }
    expect(route("9.9.9.9", 0)).toBeNull();
  });

  test("a closed address is open where it is named, at that port", () => {
    const allow = ["169.254.169.254:80", "192.168.7.7:8080", "9.9.9.9:53"];
    const route = create({ allow });
    expect(route("169.254.169.254", 80)).toEqual({ host: "169.254.169.254", port: 80 });
    expect(route("192.168.7.7", 8080)).toEqual({ host: "192.168.7.7", port: 8080 });
    expect(route("9.9.9.9", 53)).toEqual({ host: "9.9.9.9", port: 53 });
    expect(route("169.254.169.254", 81)).toBeNull();
    expect(create({ allow, outbound: "any" })("169.254.169.254", 443)).toBeNull();
  });

  test("an address that the host gets later is closed as well", () => {
    const own: string[] = [];
    const route = create({ outbound: "any", ownAddresses: () => own });
    expect(route("172.20.0.5", 80)).not.toBeNull();
    own.push("172.20.0.5");
    expect(route("172.20.0.5", 80)).toBeNull();
  });

  test("the resolver is reached with `any`, or where that is wanted", () => {
    expect(create({ outbound: "any" })(RESOLVER, 53)).toEqual({ host: "192.168.7.1", port: 53 });
    expect(create({ outbound: "any" })(RESOLVER, 80)).toBeNull();
    expect(create({ outbound: "any", dns: false })(RESOLVER, 53)).toBeNull();
    expect(create({ dns: true })(RESOLVER, 53)).not.toBeNull();
    const first = (text: string) => create({ dns: true, resolvers: () => [text] })(RESOLVER, 53);
    expect(first("1.1.1.1:5353")).toEqual({ host: "1.1.1.1", port: 5353 });
    expect(first("[fe80::1%eth0]:54")).toEqual({ host: "fe80::1%eth0", port: 54 });
    expect(first("2001:db8::1")).toEqual({ host: "2001:db8::1", port: 53 });
    expect(create({ dns: true, resolvers: () => [] })(RESOLVER, 53)).toBeNull();
  });

  test("options that cannot be are refused", () => {
    for (const word of [
      "",
      "http",
      "0",
      "65536",
      "1.2.3:80",
      "1.2.3.4:",
      ":80",
      "::1:80",
      1.5,
      -1,
    ]) {
      expect(() => create({ allow: [word] }), `${word}`).toThrow(
        `net: allow ${word}: neither PORT nor ADDRESS:PORT`,
      );
    }
    expect(() => create({ outbound: "none", allow: [80] })).toThrow("net: outbound none");
    expect(() => create({ outbound: "all" as "any" })).toThrow("net: outbound all");
  });
});
