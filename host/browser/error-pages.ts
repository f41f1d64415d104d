// Responses that no guest has sent: they say what is wrong, and what the reader may do.

export interface Trouble {
  readonly status: 502 | 503;
  readonly reason: string;
}

const TITLES = { 502: "The machine did not answer", 503: "There is no machine" } as const;

const ADVICE = {
  502: "Boot the machine again in its tab, then load this page again.",
  503: "Open the tab that boots it, then load this page again.",
} as const;

/** A page for people who navigate; plain text for everything else. */
export function errorPage({ status, reason }: Trouble, { destination }: Request): Response {
  const isPage = /^(document|iframe|frame)$/.test(destination);
  const [title, advice] = [TITLES[status], ADVICE[status]];
  const text = `${title}.\n\n${reason}\n\n${advice}\n`;
  return new Response(isPage ? page(title, reason, advice) : text, {
    status,
    headers: {
      "content-type": isPage ? "text/html; charset=utf-8" : "text/plain; charset=utf-8",
      "cache-control": "no-store",
      "cross-origin-embedder-policy": "require-corp",
    },
  });
}

const page = (title: string, reason: string, advice: string): string => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<style>body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem; max-width: 40rem }
pre { white-space: pre-wrap }</style>
<h1>${title}</h1>
<pre>${escaped(reason)}</pre>
<p>${advice}</p>
`;

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
