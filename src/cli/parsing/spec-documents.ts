import { InvalidArgumentError } from '../../base/errors.ts'
import {
  type JsonDocument,
  jsonDocuments,
  JsonSyntaxError,
  placeText,
  twiceError,
} from './json-documents.ts'

/** What somebody wrote. */
export interface SourceText {
  readonly text: string
  /** Where it is from, for people, such as the path of a file. */
  readonly name: string
}

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

/**
 * Does `parse`; what is wrong with the text is told with where the text is from. `place` is for what does not
 * say by itself where in the text it is.
 *
 * @throws {InvalidArgumentError}
 */
export async function inSource<Value>(
  { name }: Pick<SourceText, 'name'>,
  parse: () => Value | Promise<Value>,
  place = '',
): Promise<Value> {
  const wrong = (reason: string, cause: unknown): never => {
    throw new InvalidArgumentError(`${name}: ${reason}`, { cause })
  }
  try {
    return await parse()
  } catch (error) {
    if (isTooDeep(error)) return wrong(`it is nested too deep${place}`, error)
    if (!(error instanceof InvalidArgumentError)) throw error
    return wrong(error.message + (error instanceof JsonSyntaxError ? '' : place), error)
  }
}

/** Whoever walks down a value gives up far below the depth that the server takes. */
function isTooDeep(error: unknown): boolean {
  return error instanceof Error && error.message.includes('Maximum call stack size exceeded')
}
