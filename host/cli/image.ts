// The image that a command runs.
import { existsSync, readFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { PACKAGE_FOLDER } from "../node/package.ts";
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
  if (isProject(app)) {
    const { freshImage } = await import("./project/build.ts");
    return freshImage(findProject(app), logFormat);
  }
  const own = ownName(app);
  if (own !== null) return ownImage(own);
  throw new CliError(`${app}: neither an image, nor a project, nor an application of torito`);
}

/** NAME, apps/NAME, or the path of a folder in apps/ of the package. null: none of its own. */
function ownName(app: string): string | null {
  const inside = relative(join(PACKAGE_FOLDER, "apps"), resolve(app));
  return /^(?:\.\/)?(?:apps\/)?([\w-]+)\/?$/.exec(app)?.[1] ?? /^[\w-]+$/.exec(inside)?.[0] ?? null;
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
