/** An element's content: text, elements by name, several of one name, or nothing. */
export type XmlContent =
  | string
  | number
  | boolean
  | undefined
  | { readonly [name: string]: XmlContent | readonly XmlContent[] }

const namespace = 'http://s3.amazonaws.com/doc/2006-03-01/'

/** A whole document. Errors have no namespace, everything else that of S3. */
export function xmlDocument(name: string, content: XmlContent): string {
  const space = name === 'Error' ? '' : ` xmlns="${namespace}"`
  return `<?xml version="1.0" encoding="UTF-8"?>\n<${name}${space}>${inner(content)}</${name}>\n`
}

/** Behind a name may stand attributes, as they are written. */
function element(name: string, content: XmlContent): string {
  return content === undefined ? '' : `<${name}>${inner(content)}</${name.split(' ', 1)[0]}>`
}

function inner(content: XmlContent): string {
  if (content === undefined) return ''
  if (typeof content !== 'object') return escaped(String(content))
  let text = ''
  for (const [name, value] of Object.entries(content)) {
    if (isList(value)) text += value.map((one) => element(name, one)).join('')
    else text += element(name, value)
  }
  return text
}

function isList(value: XmlContent | readonly XmlContent[]): value is readonly XmlContent[] {
  return Array.isArray(value)
}

const replacement = '\ufffd'

const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
}

/**
 * As S3 does: control characters as references, which XML 1.0 has for few of them. Who must read such
 * keys asks for `encoding-type=url`. What no XML can hold is replaced.
 */
function escaped(text: string): string {
  return text
    .toWellFormed()
    .replaceAll(/[&<>"']/g, (character) => escapes[character] ?? '')
    .replaceAll(/[\ufffe\uffff]/g, replacement)
    .replaceAll(/\p{Cc}|\u2028/gu, (character) =>
      character === '\0' ? replacement : `&#x${character.charCodeAt(0).toString(16)};`,
    )
}

/** As `encoding-type=url` asks for: what is not plain, percent-encoded; slashes stay. */
export function urlEncoded(text: string): string {
  return strictlyEncoded(text).replaceAll('%2F', '/')
}

/** By RFC 3986, as signatures have it: everything but letters, digits and `-._~`. */
export function strictlyEncoded(text: string): string {
  return encodeURIComponent(text.toWellFormed()).replaceAll(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}
