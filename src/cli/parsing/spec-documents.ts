import { InvalidArgumentError } from '../../base/errors.ts'
import {
  type JsonDocument,
  jsonDocuments,
  JsonSyntaxError,
  placeText,
  twiceError,
} from './json-documents.ts'

const jsonStart = /^[\s\ufeff]*[{["]/

/** YAML aliases that a document may come to; more is an attack on memory. */
const aliasCountMax = 100

/**
 * The values of `text`: JSON values one after another, or YAML documents parted by `---`. It is JSON
 * when it begins like an object, a list or a text of JSON. Each JSON value is parsed when it is asked
 * for, so that what comes before an error can be used.
 *
 * @throws {InvalidArgumentError} with line and column.
 */
export async function* specDocuments(text: string): AsyncGenerator<JsonDocument> {
  if (jsonStart.test(text)) yield* jsonDocuments(text)
  else yield* await yamlDocuments(text)
}

async function yamlDocuments(text: string): Promise<readonly JsonDocument[]> {
  const { parseAllDocuments } = await import('yaml')
  const found: JsonDocument[] = []
  for (const document of parseAllDocuments(text, { prettyErrors: false })) {
    if (!('errors' in document)) continue
    const [problem] = document.errors
    if (problem !== undefined) {
      const [at] = problem.pos
      if (problem.code === 'DUPLICATE_KEY') throw twiceError(yamlKey(text, at), text, at)
      throw new JsonSyntaxError(`${problem.message} at ${placeText(text, at)} (read as YAML)`, {
        cause: problem,
      })
    }
    const value = yamlValue(document)
    const [offset] = document.contents?.range ?? document.range
    if (value !== null) found.push({ value, offset })
  }
  return found
}

/** The key that begins at `from`. */
function yamlKey(text: string, from: number): string {
  const [line = ''] = text.slice(from).split('\n')
  return line.replace(/\s*:(\s.*)?$/s, '').replace(/^(["'])(.*)\1$/s, '$2')
}

function yamlValue(document: {
  toJS(options: { readonly maxAliasCount: number }): unknown
}): unknown {
  try {
    return document.toJS({ maxAliasCount: aliasCountMax })
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new InvalidArgumentError(`${reason} (read as YAML)`, { cause })
  }
}
