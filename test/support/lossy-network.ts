// A network that loses frames of both directions, by seed.
import type { Frame } from "../../host/devices/net/frame.ts";
import type { Card, Network, Port } from "../../host/devices/net/network.ts";
import { Random } from "./simulation-random.ts";

export class LossyNetwork implements Network {
  lost = 0;
  readonly #inner: Network;
  readonly #rate: number;
  readonly #random: Random;

  /** `rate`: of 1, how many frames are lost. */
  constructor(inner: Network, rate: number, seed = 1) {
    this.#inner = inner;
    this.#rate = rate;
    this.#random = new Random(seed);
  }

  #passes(): boolean {
    if (!this.#random.chance(this.#rate)) return true;
    this.lost++;
    return false;
  }

  join(card: Card): Port {
    const port = this.#inner.join({
      ...card,
      deliver: (frame: Frame) => {
        if (this.#passes()) card.deliver(frame);
      },
    });
    return {
      get hasLink() {
        return port.hasLink;
      },
      send: (frame: Frame) => {
        if (this.#passes()) port.send(frame);
      },
      flush: () => port.flush(),
      forget: () => port.forget(),
      leave: () => port.leave(),
    };
  }
}
