import type { XMLParser } from 'fast-xml-parser'
import { S3Error } from './errors.ts'

/** Documents here are `<Delete><Object><Key>…`: three deep. */
const depthMax = 6
/** The longest names 10,000 parts, with a checksum each: parsing more would keep others waiting. */
const tagCountMax = 100_000
const parserOptions = {
  ignoreAttributes: true,
  parseTagValue: false,
  trimValues: false,
  removeNSPrefix: true,
  maxNestedTags: depthMax,
  // It knows no references to characters, which clients write, and texts are to be decoded once only.
  processEntities: false,
  // Told apart from texts, so that it is refused: nobody writes it, and it is not to be decoded.
  cdataPropName: '#cdata',
}

/** Loaded when a document comes: most servers never see one, and it takes as long as the rest of S3. */
let parser: Promise<XMLParser> | undefined

const entities: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
}

/** One that reads no numbers from texts: what an element holds is a text, or elements, each a list. */
type Parsed = string | { readonly [name: string]: Parsed | readonly Parsed[] }

/** An element of a document that a caller sent. */
export class XmlElement {
  readonly #content: Parsed

  private constructor(content: Parsed) {
    this.#content = content
  }

  /** @throws {S3Error} for what is no XML, or has another root, or more than such documents need. */
  static async parse(text: string, root: string): Promise<XmlElement> {
    // Nothing that S3 defines has one, and what it can do is not wanted.
    if (/<!(?:DOCTYPE|ENTITY)/i.test(text)) throw malformed('a document type is not allowed')
    if (tagCount(text) > tagCountMax) throw malformed(`it has more than ${tagCountMax} tags`)
    const parsed = await parse(text)
    const found = typeof parsed === 'object' ? parsed[root] : undefined
    if (found === undefined || Array.isArray(found)) throw malformed(`there is no <${root}>`)
    return new XmlElement(found as Parsed)
  }

  /** The elements of a name, in their order. */
  all(name: string): readonly XmlElement[] {
    if (typeof this.#content === 'string') return []
    const found = Object.hasOwn(this.#content, name) ? this.#content[name] : undefined
    if (found === undefined) return []
    const list = Array.isArray(found) ? (found as readonly Parsed[]) : [found as Parsed]
    return list.map((content) => new XmlElement(content))
  }

  /** The text of the only element of a name; undefined when there is none. */
  text(name: string): string | undefined {
    const [only, ...others] = this.all(name)
    if (only === undefined) return undefined
    if (others.length > 0) throw malformed(`there are several <${name}>`)
    if (typeof only.#content !== 'string') throw malformed(`<${name}> is to hold a text`)
    return decoded(only.#content)
  }
}

function tagCount(text: string): number {
  let count = 0
  for (let at = text.indexOf('<'); at !== -1; at = text.indexOf('<', at + 1)) count += 1
  return count
}

async function parse(text: string): Promise<Parsed> {
  parser ??= import('fast-xml-parser').then(({ XMLParser: Parser }) => new Parser(parserOptions))
  const loaded = await parser
  try {
    return loaded.parse(text, true) as Parsed
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw malformed(why.slice(0, 200), error)
  }
}

function decoded(text: string): string {
  return text.replaceAll(/&([^;&]{0,12});?/g, (reference, name: string) => {
    const named = Object.hasOwn(entities, name) ? entities[name] : undefined
    const [, hex, decimal] = /^#(?:x([0-9a-f]{1,6})|(\d{1,7}))$/i.exec(name) ?? []
    const point = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16)
    const isPoint = point <= 0x10ffff && !(point >= 0xd800 && point <= 0xdfff)
    if (reference.endsWith(';')) {
      if (named !== undefined) return named
      if (isPoint) return String.fromCodePoint(point)
    }
    throw malformed(`${reference} stands for nothing`)
  })
}

export function malformed(why: string, cause?: unknown): S3Error {
  return new S3Error('MalformedXML', `the XML of the request makes no sense: ${why}`, { cause })
}
