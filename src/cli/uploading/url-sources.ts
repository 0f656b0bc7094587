import { ownSourceName, parseSourceUrl } from '../../base/source-urls.ts'
import type { Delimiter } from '../../gen/pfs_pb.ts'
import { putFromUrl } from '../../client/file-transfers.ts'
import { isUnimplemented } from '../../client/rpc-error.ts'
import type { CommandContext } from '../command.ts'
import { inParallel } from '../../base/parallel.ts'
import { Progress } from '../printing/progress.ts'
import type { UrlTarget } from './targets.ts'
import type { UploadRequest } from './upload.ts'
import { requireKnown } from './split-flags.ts'

type UrlRequest = Omit<UploadRequest, 'targets'> & { readonly targets: readonly UrlTarget[] }

/** Has the server fetch everything; a server of 1.5, one after another. */
export async function putUrls(context: CommandContext, request: UrlRequest): Promise<void> {
  const { filesClient } = await import('../own-clients.ts')
  const { withStoreWaits } = await import('../store-waits.ts')
  const {
    repo,
    commit: id,
    targets,
    isRecursive: recursive,
    overwrite,
    parallelism,
    split,
  } = request
  const secret = context.flags.text('secret')
  const progress = new Progress(context, 'put')
  const responses = filesClient(context).putSources({
    commit: { repo: { name: repo }, id },
    sources: targets.map(({ url, path, addsOwnName: addOwnName }) => ({ url, path, addOwnName })),
    recursive,
    overwrite,
    parallelism,
    resume: context.flags.isOn('resume'),
    secret,
    endsCommit: request.endsCommit ?? false,
    isPart: request.isPart ?? false,
    ...(split && { split: { ...split, delimiter: split.delimiter as Delimiter } }),
  })
  try {
    const urls = targets.map(({ url }) => url)
    const told = withStoreWaits(context, urls, responses)
    for await (const { files, bytes, done, endedCommit } of told) {
      progress.show({ fileCount: Number(files), sizeBytes: Number(bytes) })
      if (endedCommit) request.onEnded?.()
      if (done) request.onStored?.()
    }
  } catch (error) {
    if (!isUnimplemented(error)) throw error
    requireKnown(split)
    // Rather than without: who has credentials of another kind is not to be asked for.
    if (secret !== '') throw error
    await putEach(context, request)
  }
  await progress.end()
}

async function putEach(
  { transport }: CommandContext,
  { repo, commit: id, targets, isRecursive: recursive, overwrite, split, ...request }: UrlRequest,
): Promise<void> {
  await inParallel(targets, request.parallelism, async ({ url, path, addsOwnName }) => {
    const own = addsOwnName ? ownSourceName(parseSourceUrl(url)) : ''
    const file = { commit: { repo, id }, path: [path, own].filter((part) => part !== '').join('/') }
    await putFromUrl(transport, file, url, { recursive, overwrite, split })
    request.onStored?.()
  })
}
