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
const LAB_HOST = "torito.localhost";
/** The same site as the Lab: browsers refuse Service Workers to frames of another site. */
const SITE_HOST = `site.${LAB_HOST}`;

/** Where the Lab can have an origin for the site, if it was opened by an address of loopback. */
export function labOrigin(here: URL): string | null {
  return LOOPBACK.test(here.hostname) ? originOn(LAB_HOST, here) : null;
}

/** Another origin for the site of a machine that a page of `here` has booted; null: none. */
export function siteOrigin(here: URL): string | null {
  return here.hostname === LAB_HOST ? originOn(SITE_HOST, here) : null;
}

/** May a page of `lab` have a site served that has the origin `own`? */
export function mayServe(own: string, lab: string): boolean {
  return lab === own || (URL.canParse(lab) && siteOrigin(new URL(lab)) === own);
}

function originOn(host: string, { protocol, port }: URL): string {
  return `${protocol}//${host}${port === "" ? "" : `:${port}`}`;
}
