// The image that a command runs.
import { existsSync, readFileSync } from "node:fs";
import { basename, resolve } from "node:path";
import type { Command } from "./arguments.ts";
import { ownImage } from "./parts.ts";
import { findProject, isProject } from "./project/project.ts";
import { CliError } from "./usage.ts";

/**
 * An image by its path, a project's, which is built first if it is older than its sources, or one
 * of the package's own. null: the project has errors.
 */
export async function imagePath({ app, logFormat }: Command): Promise<string | null> {
  if (app.endsWith(".wasm")) return app;
  if (!isProject(app)) return ownImage(basename(resolve(app)));
  const { freshImage } = await import("./project/build.ts");
  return freshImage(findProject(app), logFormat);
}

export function readImage(app: string, path: string) {
  if (!existsSync(path)) {
    const unbuilt = `there is no image ${path}; "npm run build" makes all that are here`;
    throw new CliError(`${app}: ${path === app ? "no such file" : unbuilt}`);
  }
  const map = `${path}.map`;
  try {
    return {
      image: new Uint8Array(readFileSync(path)),
      sourceMap: existsSync(map) ? readFileSync(map, "utf8") : undefined,
    };
  } catch (error) {
    throw new CliError(`${app}: ${(error as Error).message}`);
  }
}
