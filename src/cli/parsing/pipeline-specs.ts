import { InvalidArgumentError } from '../../base/errors.ts'
import { type CreatePipelineRequest, CreatePipelineRequestSchema } from '../../gen/pps_pb.ts'
import { jsonDocuments, JsonSyntaxError, placeText } from './json-documents.ts'
import { messageFromJson } from './json-messages.ts'

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
      yield messageFromJson(CreatePipelineRequestSchema, next.value.value, 'a spec')
    } catch (error) {
      if (!(error instanceof InvalidArgumentError)) throw error
      if (error instanceof JsonSyntaxError) place = yamlStart.test(text) ? notYaml : ''
      throw new InvalidArgumentError(`malformed pipeline spec: ${error.message}${place}`, {
        cause: error,
      })
    }
  }
}
