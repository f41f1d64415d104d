// The card of a machine, plugged into the network that `--net` names.

import type { FrameTap } from "../../devices/net/tap.ts";
import { NetDevice } from "../../devices/net.ts";
import type { Log } from "../../log.ts";
import { StreamNetwork, UserNetwork } from "../../node/devices.ts";
import type { Sockets } from "../../ports/sockets.ts";
import { available } from "../parts.ts";
import type { Publish } from "../values.ts";
import { openPasst } from "./passt.ts";
import type { NetSettings } from "./settings.ts";

/** A card, and its network if that is of this process. */
export interface Card {
  readonly device: NetDevice;
  readonly user: UserNetwork | null;
}

/**
 * The network ends with the card; `capture` sees its frames. Published ports are those of
 * `sockets`. Rejects with CliError if there can be no such network.
 */
export async function openCard(
  settings: NetSettings,
  sockets: Sockets,
  log: Log,
  capture: FrameTap | null = null,
): Promise<Card> {
  const { link, mac, mtu } = settings;
  if (link.kind === "user") {
    const user = new UserNetwork({ ...link, sockets });
    return { user, device: new NetDevice({ network: user, mac, mtu, capture }) };
  }
  const ended = (reason: string) => log("warn", "net", `the stream has ended: ${reason}`);
  const network =
    link.kind === "passt"
      ? await openPasst(ended)
      : await available(
          StreamNetwork.open({ address: { path: link.path }, listen: link.listen, ended }),
        );
  return { user: null, device: new NetDevice({ network, mac, mtu, capture }) };
}

/** A server one of whose TCP ports is published listens on TCP, unless the user says otherwise. */
export function withFamily(parameters: string, publish: readonly Publish[]): string {
  const isNet = publish.some((one) => one.isNet === true);
  return !isNet || /(?:^| )net=/.test(parameters) ? parameters : `net=inet ${parameters}`.trimEnd();
}
