// The published ports, from `publish` or from the `port` and `host` that newcomers expect.
import type { Command } from "../commands.ts";
import { CliError } from "../usage.ts";
import { LOCALHOST, PORT_MAX, type Publish, parseInteger, parsePublish } from "../values.ts";
import type { OptionName } from "./options.ts";
import type { Source, Values } from "./values.ts";

/** The strongest first. */
const STRENGTH: readonly Source[] = ["flag", "environment", "file", "project", "platform"];
const SITE: Publish = { host: LOCALHOST, port: 4000, guestPort: 80 };

/**
 * A port or host replaces that of the first published port, unless `publish` was set by something
 * stronger. Both from one source contradict each other.
 */
export function publishOf(values: Values, serve: boolean): Publish[] {
  const label = values.label("publish");
  const given = values.all("publish").map((text) => parsePublish(text, label));
  const [first = SITE, ...others] = given;
  if (!serve) return given;
  const replaces = (name: OptionName): boolean => {
    const source = values.get(name)?.source;
    const published = values.get("publish")?.source;
    if (source === undefined || published === undefined) return source !== undefined;
    if (source === published) {
      throw new CliError(`${values.label(name)}: ${label} says which port already`);
    }
    return STRENGTH.indexOf(source) < STRENGTH.indexOf(published);
  };
  const port = replaces("port")
    ? parseInteger(values.label("port"), values.one("port") ?? "", 0, PORT_MAX)
    : first.port;
  const host = replaces("host") ? (values.one("host") ?? LOCALHOST) : first.host;
  const bare = host.replace(/^\[(.*)\]$/, "$1");
  if (bare === "" || /[\s/]/.test(bare)) {
    throw new CliError(`${values.label("host")} ${host}: not an address`);
  }
  return [{ ...first, port, host: bare }, ...others];
}

/** The port of `torito serve` in its guest, unless a parameter says another one. */
const SERVED_PORT = 80;

/**
 * Throws CliError if a published port leads to one of the guest where WebServer does not listen. Of
 * other applications, and of one that was saved, nobody knows.
 */
export function assertServed({ site, restorePath, parameters, publish }: Command): void {
  if (site === null || restorePath !== null) return;
  const port = Number(/(?:^| )port=(\d+)(?: |$)/.exec(parameters)?.[1] ?? SERVED_PORT);
  for (const one of publish) {
    if (one.guestPort === port) continue;
    throw new CliError(
      `publish ${publishText(one)}: WebServer listens on port ${port} of its guest alone`,
    );
  }
}

/** As --publish takes it. */
export function publishText({ host, port, guestPort, isNet }: Publish): string {
  const way = isNet === true ? "/net" : "";
  return `${host.includes(":") ? `[${host}]` : host}:${port}:${guestPort}${way}`;
}
