import { emptyBytes } from '../../base/bytes.ts'
import { UnavailableError } from '../../base/errors.ts'
import { WireReader } from '../../base/wire-reader.ts'
import { parseAddress } from '../../client/address.ts'
import type { CommandContext } from '../command.ts'
import { Table } from '../printing/table.ts'
import { quickCall } from '../quick-call.ts'
import { readRelease } from '../release.ts'

// By hand, as in all commands that should answer at once: generated code takes a while to load.

const method = '/versionpb.API/GetVersion'
const timeoutMs = 1000
const versionTags = { major: 0x08, minor: 0x10, micro: 0x18, additional: 0x22 } as const

/** Our own row is printed before the server is asked. */
export async function version({ out, transport, address }: CommandContext): Promise<void> {
  const table = new Table(out)
  table.add('COMPONENT', 'VERSION')
  table.add('pachctl', readRelease())
  await table.flush()
  try {
    const response =
      (await quickCall(parseAddress(address), method, timeoutMs)) ??
      (await transport.unary(method, emptyBytes, { timeoutMs }))
    table.add('pachd', versionText(response))
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new UnavailableError(
      `pachd               (version unknown) : error connecting to pachd server at address (${address}): ${reason}`,
      { cause: error },
    )
  }
  await table.flush()
}

function versionText(response: Uint8Array): string {
  const reader = new WireReader([response])
  const numbers = [0, 0, 0]
  let additional = ''
  while (!reader.atEnd) {
    switch (reader.tag()) {
      case versionTags.major:
        numbers[0] = reader.int32()
        break
      case versionTags.minor:
        numbers[1] = reader.int32()
        break
      case versionTags.micro:
        numbers[2] = reader.int32()
        break
      case versionTags.additional:
        additional = reader.string()
        break
      default:
        reader.skip()
    }
  }
  return numbers.join('.') + (additional === '' ? '' : `-${additional}`)
}
