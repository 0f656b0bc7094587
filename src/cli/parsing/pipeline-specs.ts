import { InvalidArgumentError } from '../../base/errors.ts'
import { type CreatePipelineRequest, CreatePipelineRequestSchema } from '../../gen/pps_pb.ts'
import { placeText, type JsonDocument } from './json-documents.ts'
import { messageFromJson } from './json-messages.ts'
import { specAdvice } from './spec-advice.ts'
import { inSource, type SourceText, specDocuments } from './spec-documents.ts'

const inputKinds = ['atom', 'pfs', 'cross', 'union', 'join', 'group', 'cron']

/** Replaces what stands for arguments in a parsed document. */
export type Substitute = (value: unknown) => unknown

/**
 * The pipeline specs in a text, one after another: the JSON form of CreatePipelineRequest as 1.5
 * reads it, or the same in YAML; a list stands for the specs in it. Each is parsed when it is asked
 * for, so that those before an error can be used.
 *
 * @throws {InvalidArgumentError} that begins like 1.5's, and says where.
 */
export async function* parsePipelineSpecs(
  source: SourceText,
  substitute: Substitute = (value) => value,
): AsyncGenerator<CreatePipelineRequest> {
  const { text, name } = source
  const documents = specDocuments(text)
  let count = 0
  for (;;) {
    const next = await withPrefix(source, () => documents.next())
    if (next.done === true) break
    const specs = await withPrefix(source, () => specsOf(substitute(next.value.value)))
    for (const spec of specs) {
      count += 1
      yield await withPrefix(source, () => parseSpec(spec), placeOf(text, count, next.value))
    }
  }
  if (count === 0) throw malformed(`there is no spec in ${name}`)
}

function specsOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [value]
}

function placeOf(text: string, count: number, { offset }: JsonDocument): string {
  return ` (spec ${count}, which begins at ${placeText(text, offset)})`
}

async function withPrefix<Value>(
  source: SourceText,
  parse: () => Value | Promise<Value>,
  place = '',
): Promise<Value> {
  try {
    return await inSource(source, parse, place)
  } catch (error) {
    throw error instanceof InvalidArgumentError ? malformed(error.message, error) : error
  }
}

function malformed(reason: string, cause?: unknown): InvalidArgumentError {
  return new InvalidArgumentError(`malformed pipeline spec: ${reason}`, { cause })
}

function parseSpec(value: unknown): CreatePipelineRequest {
  if (typeof value === 'object' && value !== null && 'input' in value) {
    refuseSeveralKinds(value.input, 'input')
  }
  return messageFromJson(CreatePipelineRequestSchema, value, 'a spec', specAdvice)
}

/**
 * Refuses an input that is of two kinds. The server cannot see an empty list, so that this is for us
 * to find. What is malformed otherwise is left to whoever reads the message.
 */
function refuseSeveralKinds(input: unknown, path: string): void {
  if (typeof input !== 'object' || input === null) return
  const given = Object.entries(input).filter(([, item]) => item !== null)
  const kinds = given.flatMap(([name]) => (inputKinds.includes(name) ? [name] : []))
  if (kinds.length > 1) {
    throw new InvalidArgumentError(
      `multiple input types set: ${path} has ${kinds.join(' and ')}, and an input is one of ${inputKinds.join(', ')}`,
    )
  }
  for (const [name, members] of given) {
    if (!inputKinds.includes(name) || !Array.isArray(members)) continue
    members.forEach((member, index) => refuseSeveralKinds(member, `${path}.${name}[${index}]`))
  }
}
