import { InvalidArgumentError } from '../../base/errors.ts'
import { type Operation, OperationSchema } from '../../gen/pachyderm_pb.ts'
import { jsonDocuments } from './json-documents.ts'
import { messageFromJson } from './json-messages.ts'

/**
 * The operations in `text`: JSON forms of `Operation`, one after another, in lists, or in the
 * `operations` of RunTransactionRequest.
 *
 * @throws {InvalidArgumentError} that says which operation is meant, counted from 1.
 */
export function parseOperations(text: string): readonly Operation[] {
  const values = [...jsonDocuments(text)].flatMap(({ value }) => listOf(value))
  if (values.length === 0) {
    throw new InvalidArgumentError(
      'there is no operation in it; one looks like {"finish_commit": {"commit": {"repo": {"name": "images"}, "id": "master"}}}',
    )
  }
  return values.map((value, index) => parseOperation(value, `operation ${index + 1}`))
}

function listOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value
  if (typeof value !== 'object' || value === null || !('operations' in value)) return [value]
  const { operations, ...others } = value
  if (Array.isArray(operations) && Object.keys(others).length === 0) return operations
  throw new InvalidArgumentError('"operations" must be a list, and stand alone')
}

function parseOperation(value: unknown, what: string): Operation {
  try {
    return messageFromJson(OperationSchema, value, 'an operation')
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error
    throw new InvalidArgumentError(`malformed ${what}: ${error.message}`, { cause: error })
  }
}
