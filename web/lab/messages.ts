// Messages between the Lab and the frame that shows the machine's site, which has an origin of its
// own where there is one to be had.

/** From the frame: it has loaded, shows the site, or cannot. */
export type FromBridge =
  | { readonly torito: "bridge-loaded" }
  | { readonly torito: "bridge-shows" }
  | { readonly torito: "bridge-failed"; readonly reason: string }
  /** Answered by a ToBridge of the same kind, with the port. */
  | { readonly torito: "bridge-switchboard" };

/** From the Lab. */
export type ToBridge =
  | { readonly torito: "lab-machine"; readonly machine: string; readonly isIsolated: boolean }
  | { readonly torito: "lab-switchboard" }
  | { readonly torito: "lab-reload" };

const LOOPBACK = /^(localhost|127\.0\.0\.1|\[::1\])$/;
const SITE_HOST = "site.localhost";

/**
 * Where the site of a machine may live that a page of `here` has booted: `site.localhost` has no
 * power over a page of localhost. null: there is no other origin for it.
 */
export function siteOrigin(here: URL): string | null {
  if (!LOOPBACK.test(here.hostname)) return null;
  return `${here.protocol}//${SITE_HOST}${here.port === "" ? "" : `:${here.port}`}`;
}

/** May a page of `lab` have a site served that has the origin `own`? */
export function mayServe(own: string, lab: string): boolean {
  return lab === own || (URL.canParse(lab) && siteOrigin(new URL(lab)) === own);
}
