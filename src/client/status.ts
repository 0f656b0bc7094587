import type { ErrorKind } from '../base/errors.ts'
import { Code, decodeStatusMessage, errorKindTrailer, parseCode } from '../base/grpc-wire.ts'
import { RpcError } from './rpc-error.ts'

/** Headers or trailers, by lower-case name. */
export type StatusFields = Readonly<Record<string, string | readonly string[] | undefined>>

/** The failure that trailers tell of; undefined when they say OK. */
export function failureOf(fields: StatusFields): RpcError | undefined {
  const code = parseCode(textOf(fields['grpc-status']))
  if (code === Code.ok) return undefined
  const message = decodeStatusMessage(textOf(fields['grpc-message']) ?? '')
  const kind = textOf(fields[errorKindTrailer])
  return new RpcError(code, message, kind === undefined ? {} : { kind: kind as ErrorKind })
}

/** The fields in the last frame of gRPC-Web. */
export function parseTrailers(bytes: Uint8Array): StatusFields {
  const fields: Record<string, string> = {}
  for (const line of new TextDecoder('latin1').decode(bytes).split('\r\n')) {
    const colon = line.indexOf(':')
    if (colon > 0) fields[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim()
  }
  return fields
}

function textOf(field: string | readonly string[] | undefined): string | undefined {
  return field === undefined || typeof field === 'string' ? field : field[0]
}
