const unknownType = 'application/octet-stream'

/** What people keep in repos and the library's table, which is of the web, does not have. */
const moreTypes: Readonly<Record<string, string>> = {
  arrow: 'application/vnd.apache.arrow.file',
  ipynb: 'application/json',
  jsonl: 'application/x-ndjson',
  ndjson: 'application/x-ndjson',
  parquet: 'application/vnd.apache.parquet',
  py: 'text/plain',
  r: 'text/plain',
  sql: 'text/plain',
  tsv: 'text/tab-separated-values',
}

const isText = /^text\/|^application\/(?:json|xml|x-ndjson|javascript)$|\+(?:json|xml)$/

/** The media type of a file, by its name alone. Texts count as UTF-8. */
export async function mediaTypeOf(name: string): Promise<string> {
  const extension = /\.([^.]+)$/.exec(name)?.[1]?.toLowerCase() ?? ''
  const type = Object.hasOwn(moreTypes, extension)
    ? (moreTypes[extension] ?? unknownType)
    : await listedType(name)
  return isText.test(type) ? `${type}; charset=utf-8` : type
}

async function listedType(name: string): Promise<string> {
  const { default: mime } = await import('mime')
  // Without the slash, a file called `html` would count as one with that extension.
  return mime.getType(`/${name}`) ?? unknownType
}
