import { InvalidArgumentError } from '../../base/errors.ts'
import { type CreatePipelineRequest, CreatePipelineRequestSchema } from '../../gen/pps_pb.ts'
import { jsonDocuments, JsonSyntaxError, placeText } from './json-documents.ts'
import { messageFromJson } from './json-messages.ts'

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
      const { value } = next.value
      if (typeof value === 'object' && value !== null && 'input' in value) {
        refuseSeveralKinds(value.input, 'input')
      }
      yield messageFromJson(CreatePipelineRequestSchema, value, 'a spec')
    } catch (error) {
      if (!(error instanceof InvalidArgumentError)) throw error
      if (error instanceof JsonSyntaxError) place = yamlStart.test(text) ? notYaml : ''
      throw new InvalidArgumentError(`malformed pipeline spec: ${error.message}${place}`, {
        cause: error,
      })
    }
  }
}

/**
 * Refuses an input that is of two kinds. The server cannot see an empty list, so that this is for us
 * to find. What is malformed otherwise is left to whoever reads the message.
 */
function refuseSeveralKinds(input: unknown, path: string): void {
  if (typeof input !== 'object' || input === null) return
  const given = Object.entries(input).filter(([, item]) => item !== null)
  const kinds = given.flatMap(([name]) => (inputKinds.has(name) ? [name] : []))
  if (kinds.length > 1) {
    throw new InvalidArgumentError(
      `multiple input types set: ${path} has ${kinds.join(' and ')}, and an input is one of atom, cross and union`,
    )
  }
  for (const [name, members] of given) {
    if ((name !== 'cross' && name !== 'union') || !Array.isArray(members)) continue
    members.forEach((member, index) => refuseSeveralKinds(member, `${path}.${name}[${index}]`))
  }
}
