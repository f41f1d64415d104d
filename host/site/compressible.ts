// Extensions of files that get smaller when they are compressed, as mime-db knows them.

const EXTENSIONS = new Set(
  `
  ai aml appcache atom atomcat atomdeleted atomsvc bmp bpk buffer ccxml cdfx cjs coffee conf cpl
  css csv davmount dbk deb def deploy dib distz dms dtd dwd ecma elc eml emma emotionml eot eps
  fdt geojson glb gltf gml gpx grxml held htm html ico ics ifb in ini ink inkml its jade js json
  jsonld jsonml jsx kml less lgr list litcoffee log lostxml lrf mads maei man manifest map mar
  markdown mathml md mdx me meta4 metalink mets mht mhtml mime mjs mml mods mpd mpf mpkg mpp mrcx
  ms mscml msm msp musd mxml n3 omdoc opf otf owl pls provx ps psd pskcxml raml rapd rdf relo rif
  rl rld rng roff rsat rsd rsheet rss rtf rtx rusd sbml senmlx sensmlx sgm sgml sh shex shf shtml
  slim slm sls smi smil so spdx sru srx ssdl ssml stpx styl stylus svg svgz swidtag t tar td tei
  teicorpus text tfi toml tr tsv ttf ttl ttml txt uri uris urls vcard vcf vcs vtt vxml wasm
  webapp webmanifest wgsl wif wsdl wspolicy x3d x3dz xaml xav xca xcs xdf xdssc xel xenc xer xht
  xhtml xhvml xlf xml xns xop xpl xsd xsl xslt xspf xul xvm xvml yaml yin yml
`
    .trim()
    .split(/\s+/),
);

/** Is it worth trying to compress a file of this name? */
export function isCompressible(name: string): boolean {
  const dot = name.lastIndexOf(".");
  return dot > 0 && EXTENSIONS.has(name.slice(dot + 1).toLowerCase());
}

/** All of them, sorted. */
export const COMPRESSIBLE: readonly string[] = [...EXTENSIONS];
