import { expect, test } from 'vitest'
import { Code } from '../base/grpc-wire.ts'
import { RpcError } from '../client/rpc-error.ts'
import { errorText } from './error-text.ts'

test('an error commands no terminal by the names that are in it, and keeps its lines', () => {
  const error = new RpcError(
    Code.unknown,
    'datum (a:/esc\u001b[31mred\u202e) failed:\nof two lines',
  )
  expect(errorText(error, undefined)).toBe(
    'datum (a:/esc\\x1b[31mred\\u202e) failed:\nof two lines\n',
  )
})
