import { InvalidArgumentError } from '../../base/errors.ts'
import { type Operation, OperationSchema } from '../../gen/pachyderm_pb.ts'
import { type JsonDocument, jsonDocuments, JsonSyntaxError, placeText } from './json-documents.ts'
import { messageFromJson } from './json-messages.ts'

/**
 * The operations in `text`: JSON forms of `Operation`, one after another, in lists, or in the
 * `operations` of RunTransactionRequest. `source` is where the text comes from, for people.
 *
 * @throws {InvalidArgumentError} that says which operation is meant, counted from 1, and where.
 */
export function parseOperations(text: string, source: string): readonly Operation[] {
  const operations: Operation[] = []
  for (const { value, offset } of documents(text, source, () => operations.length)) {
    for (const item of listOf(value, source)) {
      const place = `${source}, ${placeText(text, offset)}`
      operations.push(parseOperation(item, `operation ${operations.length + 1} (${place})`))
    }
  }
  if (operations.length === 0) {
    throw new InvalidArgumentError(
      `there is no operation in ${source}; one looks like {"finish_commit": {"commit": {"repo": {"name": "images"}, "id": "master"}}}`,
    )
  }
  return operations
}

function* documents(
  text: string,
  source: string,
  countBefore: () => number,
): Generator<JsonDocument> {
  try {
    yield* jsonDocuments(text)
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error
    const count = countBefore()
    const behind = count === 0 ? '' : `, behind operation ${count}`
    throw new InvalidArgumentError(`${source} is not JSON: ${error.message}${behind}`, {
      cause: error,
    })
  }
}

function listOf(value: unknown, source: string): readonly unknown[] {
  if (Array.isArray(value)) return value
  if (typeof value !== 'object' || value === null || !('operations' in value)) return [value]
  const { operations, ...others } = value
  if (Array.isArray(operations) && Object.keys(others).length === 0) return operations
  throw new InvalidArgumentError(`"operations" in ${source} must be a list, and stand alone`)
}

function parseOperation(value: unknown, what: string): Operation {
  try {
    return messageFromJson(OperationSchema, value, 'an operation')
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error
    throw new InvalidArgumentError(`malformed ${what}: ${error.message}`, { cause: error })
  }
}
