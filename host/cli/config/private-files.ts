// Files that torito writes about its clients and its guest: whoever runs it may read them, and no
// visitor of the site.
import { readlinkSync, realpathSync } from "node:fs";
import { basename, dirname, join, resolve, sep } from "node:path";
import type { Command } from "../commands.ts";
import { STDOUT } from "../output.ts";
import { CliError } from "../usage.ts";

/** The kernel follows no more symbolic links in a row (path_resolution(7)). */
const LINKS_MAX = 40;

/**
 * Throws CliError if a log, a capture, a trace or a snapshot would lie in the directory that
 * WebServer serves, where anybody could fetch it. Whatever its name is: options decide whether
 * dotfiles are served, and they change while the service runs.
 */
export function assertPrivate(command: Command): void {
  const served = command.volumes.find(({ tag }) => tag === "site");
  if (command.site === null || served === undefined) return;
  const site = realPath(served.directory);
  if (site === null) return; // which is said where it is opened
  for (const [option, path] of privateFiles(command)) {
    if (path === null || path === "" || path === STDOUT) continue;
    if (!placesOf(path).some((place) => place.startsWith(join(site, sep)))) continue;
    throw new CliError(
      `${option}: ${path} would be published with the site ${served.directory}; ` +
        "choose a place outside of it",
    );
  }
}

function privateFiles(command: Command): readonly (readonly [string, string | null])[] {
  const { accessLog, admin, capture, netCapture, restorePath, save, trace } = command;
  return [
    ["pcap", capture?.path ?? null],
    ["pcap-net", netCapture?.path ?? null],
    ["trace", trace?.path ?? null],
    ["access-log", accessLog.path],
    ["admin-snapshot", admin?.snapshotPath ?? null],
    ["restore", restorePath],
    ["output", save?.path ?? null],
  ];
}

/** Where a file of this name stands, and that to which links lead from there. */
function placesOf(path: string): string[] {
  const places: string[] = [];
  for (let next = path; places.length < LINKS_MAX; ) {
    const folder = realPath(dirname(next));
    if (folder === null) break;
    places.push(join(folder, basename(next)));
    const target = linkAt(next);
    if (target === null) break;
    next = resolve(folder, target);
  }
  return places;
}

/** null: it is no link, or not there. */
function linkAt(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
}

/** null: there is no such place. */
function realPath(path: string): string | null {
  try {
    return realpathSync(path);
  } catch {
    return null;
  }
}
