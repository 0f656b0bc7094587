import { UnimplementedError } from '../../base/errors.ts'
import { parseTargetUrl } from '../../base/target-urls.ts'
import { isUnimplemented, type RpcError } from '../../client/rpc-error.ts'
import type { ExportFilesResponse } from '../../gen/pachyderm_pb.ts'
import type { CommandContext } from '../command.ts'
import { filesClient } from '../own-clients.ts'
import { countText } from '../../base/counts.ts'
import { Progress } from '../printing/progress.ts'
import { sizeText } from '../../base/sizes.ts'
import { fileOf } from './files.ts'
import { withStoreWaits } from '../store-waits.ts'

/** Has the server write files to an object store. */
export async function exportFiles(context: CommandContext): Promise<void> {
  const { args, flags, out } = context
  const [repo = '', commit = '', path = '', url = ''] = args
  // Before anything is asked: what is mistyped is said at once.
  parseTargetUrl(url)
  const verify = flags.isOn('verify')
  const parallelism = flags.positive('parallelism')
  const progress = new Progress(context, 'exported')
  let last: ExportFilesResponse | undefined
  try {
    const file = fileOf(repo, commit, path)
    const secret = flags.text('secret')
    const request = { file, url, parallelism, verify, secret }
    const responses = filesClient(context).exportFiles(request)
    for await (const response of withStoreWaits(context, [url], responses)) {
      progress.show({ fileCount: Number(response.files), sizeBytes: Number(response.bytes) })
      last = response
    }
  } catch (error) {
    throw isUnimplemented(error) && last === undefined ? unknownCall(error) : error
  } finally {
    await progress.end()
  }
  if (last !== undefined) await out.line(doneText(last, verify))
}

/** A server may also say why it cannot do a part of it, in words. */
function unknownCall(error: RpcError): Error {
  if (error.kind !== undefined) return error
  return new UnimplementedError(
    'the server cannot export (pachyderm.Files/ExportFiles): it is one of 1.5, or an older one of this project',
    { cause: error },
  )
}

function doneText(
  { files, bytes, sameFiles, sameBytes }: ExportFilesResponse,
  verified: boolean,
): string {
  const written = `${countText(files - sameFiles, 'file')} exported (${sizeText(Number(bytes - sameBytes))})`
  const there = sameFiles === 0n ? '' : `, ${countText(sameFiles, 'file')} there already`
  return `${written}${there}${verified ? '; all read back, and right' : ''}`
}
