import { parseAllDocuments } from 'yaml'
import { utf8 } from '../../base/bytes.ts'
import { InvalidArgumentError } from '../../base/errors.ts'
import { placeText } from './json-documents.ts'

interface Manifest {
  readonly name: string
  readonly entries: { readonly name: string; readonly value: Uint8Array }[]
}

/**
 * A Secret as Kubernetes has it, in JSON or YAML: `data` is in base64, `stringData` as it is and wins.
 * Errors show nothing of the text, which is secret.
 *
 * @throws {InvalidArgumentError}
 */
export function secretManifest(text: string, source: string): Manifest {
  const refuse = (reason: string): never => {
    throw new InvalidArgumentError(`${source} is no Secret as Kubernetes has it: ${reason}`)
  }
  const [document, ...more] = parseAllDocuments(text, { prettyErrors: false })
  if (document === undefined || more.length > 0) return refuse('it must be one document')
  const [problem] = document.errors
  if (problem !== undefined) {
    return refuse(`it is neither JSON nor YAML: look at ${placeText(text, problem.pos[0])}`)
  }
  const value: unknown = document.toJS({ maxAliasCount: 0 })
  if (!isRecord(value) || value['kind'] !== 'Secret') return refuse('its "kind" is not "Secret"')
  const { metadata, data, stringData } = value
  const name = isRecord(metadata) ? metadata['name'] : undefined
  if (typeof name !== 'string') return refuse('"metadata.name" is missing')
  const entries = new Map<string, Uint8Array>()
  for (const [key, coded] of textsOf('data', data, refuse)) {
    const bytes = Buffer.from(coded, 'base64')
    const isWhole = bytes.toString('base64').replace(/=+$/, '') === coded.replaceAll(/[\s=]/g, '')
    if (!isWhole) return refuse(`"data.${key}" is not in base64; plain text goes into "stringData"`)
    entries.set(key, bytes)
  }
  for (const [key, plain] of textsOf('stringData', stringData, refuse))
    entries.set(key, utf8(plain))
  return { name, entries: [...entries].map(([key, bytes]) => ({ name: key, value: bytes })) }
}

function textsOf(
  field: string,
  value: unknown,
  refuse: (reason: string) => never,
): readonly (readonly [string, string])[] {
  if (value === undefined || value === null) return []
  if (!isRecord(value)) return refuse(`"${field}" is no mapping`)
  return Object.entries(value).map(([key, text]) =>
    typeof text === 'string' ? [key, text] : refuse(`"${field}.${key}" is no text: quote it`),
  )
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
