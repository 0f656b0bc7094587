import { type DescField, type DescMessage, fromJson, type JsonValue } from '@bufbuild/protobuf'
import { InvalidArgumentError } from '../../base/errors.ts'
import {
  type CreatePipelineRequest,
  CreatePipelineRequestSchema,
  InputSchema,
} from '../../gen/pps_pb.ts'
import { goDurationSeconds } from './go-duration.ts'
import { jsonDocuments, JsonSyntaxError, placeText } from './json-documents.ts'

const inputKinds: ReadonlySet<string> = new Set(['atom', 'cross', 'union', 'cron'])
const yamlStart = /^(?:#.*\n|---.*\n|\s)*\w+:(?:\s|$)/
const notYaml = '; this looks like YAML: a spec is JSON'

/**
 * The pipeline specs in `text`, one after another: the JSON form of CreatePipelineRequest as 1.5
 * reads it. Each is parsed when it is asked for, so that those before an error can be used.
 *
 * @throws {InvalidArgumentError} that begins like 1.5's, and says where.
 */
export function* parsePipelineSpecs(text: string): Generator<CreatePipelineRequest> {
  const documents = jsonDocuments(text)
  for (let count = 1; ; count += 1) {
    let place = ''
    try {
      const next = documents.next()
      if (next.done === true) {
        if (count === 1) throw new InvalidArgumentError('there is no spec in it')
        return
      }
      place = ` (spec ${count}, which begins at ${placeText(text, next.value.offset)})`
      yield parseSpec(next.value.value)
    } catch (error) {
      if (!(error instanceof InvalidArgumentError)) throw error
      if (error instanceof JsonSyntaxError) place = yamlStart.test(text) ? notYaml : ''
      throw new InvalidArgumentError(`malformed pipeline spec: ${error.message}${place}`, {
        cause: error,
      })
    }
  }
}

function parseSpec(value: unknown): CreatePipelineRequest {
  const json = acceptable(CreatePipelineRequestSchema, value, '')
  try {
    return fromJson(CreatePipelineRequestSchema, json)
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause)
    throw new InvalidArgumentError(message.replace('google.protobuf.', ''), { cause })
  }
}

/**
 * `value` as the JSON form that our protobuf library reads: with Go's durations rewritten.
 *
 * @throws {InvalidArgumentError} for fields that `message` does not have, named as 1.5 names them.
 */
function acceptable(message: DescMessage, value: unknown, path: string): JsonValue {
  if (message.typeName === 'google.protobuf.Duration') return durationValue(value, path)
  if (message.typeName.startsWith('google.protobuf.')) return value as JsonValue
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    const where = path === '' ? 'a spec' : path
    throw new InvalidArgumentError(`${where} must be an object, and is ${JSON.stringify(value)}`)
  }
  if (message.typeName === InputSchema.typeName) refuseSeveralKinds(value, path)
  const result: Record<string, JsonValue> = {}
  for (const [name, item] of Object.entries(value)) {
    const field = message.fields.find(
      (candidate) => candidate.name === name || candidate.jsonName === name,
    )
    if (field === undefined) {
      throw new InvalidArgumentError(`unknown field ${JSON.stringify(name)} in ${message.typeName}`)
    }
    // As in jsonpb, null leaves a field as it is.
    if (item !== null)
      result[name] = fieldValue(field, item, path === '' ? name : `${path}.${name}`)
  }
  return result
}

/** The server cannot see an empty list, so that this is for us to find. */
function refuseSeveralKinds(input: object, path: string): void {
  const given = Object.entries(input).filter(([, item]) => item !== null && item !== undefined)
  const kinds = given.flatMap(([name]) => (inputKinds.has(name) ? [name] : []))
  if (kinds.length <= 1) return
  throw new InvalidArgumentError(
    `multiple input types set: ${path} has ${kinds.join(' and ')}, and an input is one of atom, cross and union`,
  )
}

function fieldValue(field: DescField, item: unknown, path: string): JsonValue {
  if (field.message === undefined) return item as JsonValue
  const { message } = field
  if (field.fieldKind !== 'list') return acceptable(message, item, path)
  if (!Array.isArray(item)) {
    throw new InvalidArgumentError(`${path} must be a list, and is ${JSON.stringify(item)}`)
  }
  return item.map((inner, index) => acceptable(message, inner, `${path}[${index}]`))
}

function durationValue(value: unknown, path: string): string {
  if (typeof value === 'string') {
    const seconds = goDurationSeconds(value)
    if (seconds !== undefined) return seconds
  }
  throw new InvalidArgumentError(
    `${path} must be a duration such as "1h30m" or "90s", and is ${JSON.stringify(value)}`,
  )
}
