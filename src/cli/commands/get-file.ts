import { FailedPreconditionError, UnimplementedError } from '../../base/errors.ts'
import type { FileRef } from '../../base/file-refs.ts'
import { readFile } from '../../client/file-transfers.ts'
import { isUnimplemented } from '../../client/rpc-error.ts'
import { FileType } from '../../gen/pfs_pb.ts'
import type { CommandContext } from '../command.ts'
import type { Selection } from '../downloading/selection.ts'
import { UsageError } from '../errors.ts'

export async function getFile(context: CommandContext): Promise<void> {
  const [repo = '', id = '', path = ''] = context.args
  checkFlags(context)
  const file = { commit: { repo, id }, path }
  if (context.flags.isOn('tar')) await printTar(context, file)
  else if (context.flags.text('output') !== '') await storeFiles(context, file)
  else await printFiles(context, file)
}

function checkFlags({ flags, out }: CommandContext): void {
  const hasOutput = flags.text('output') !== ''
  if (flags.text('output') === '-') {
    throw new UsageError(
      'without --output (-o) a file is printed, and with --tar a directory; to store it under the name -, write -o ./-',
    )
  }
  if (!flags.isOn('tar')) {
    if (flags.isOn('recursive') && !hasOutput) {
      throw new UsageError(
        'an output path needs to be specified when using the --recursive (-r) flag',
      )
    }
    for (const name of ['resume', 'verify']) {
      if (flags.isOn(name) && !hasOutput) {
        throw new UsageError(`--${name} is about what is stored with --output (-o): give both`)
      }
    }
    return
  }
  if (hasOutput || flags.isOn('resume') || flags.isOn('verify')) {
    throw new UsageError(
      '--tar prints an archive: store it with > FILE, and without --output, --resume and --verify',
    )
  }
  if (out.isTerminal) {
    throw new UsageError(
      '--tar prints an archive, which is nothing for a terminal: store it with > FILE',
    )
  }
}

/** One file by the call that every server knows, several one after another. */
async function printFiles(context: CommandContext, file: FileRef): Promise<void> {
  const { transport, out } = context
  const { mayBePattern, select } = await import('../downloading/selection.ts')
  if (mayBePattern(file.path)) {
    const selection = await select(transport, file).catch(orUndefined)
    if (selection !== undefined && selection.entry === undefined) {
      const { printMatches } = await import('../downloading/print-matches.ts')
      return printMatches(context, selection)
    }
  }
  for await (const slice of readFile(transport, file)) await out.write(slice)
}

async function printTar(context: CommandContext, file: FileRef): Promise<void> {
  const { writeTar } = await import('../downloading/write-tar.ts')
  await writeTar(context, await selectOurs(context, file, '--tar'))
}

async function storeFiles(context: CommandContext, file: FileRef): Promise<void> {
  const { flags, transport } = context
  const [directory, recursive] = [flags.text('output'), flags.isOn('recursive')]
  const how = { resume: flags.isOn('resume'), verify: flags.isOn('verify') }
  const { select } = await import('../downloading/selection.ts')
  const selection = how.resume
    ? await selectOurs(context, file, '--resume')
    : how.verify
      ? await selectOurs(context, file, '--verify')
      : await select(transport, file).catch(orUndefined)
  if (selection === undefined) return storeFromOld(context, file)
  if (selection.entry?.fileType === FileType.FILE) {
    const { downloadFile } = await import('../downloading/download-file.ts')
    const known = { commit: selection.commit, path: file.path, entry: selection.entry }
    return downloadFile(context, known, { path: directory, ...how })
  }
  if (selection.entry !== undefined && !recursive) {
    throw new FailedPreconditionError(`${file.path} is a directory: to store what is in it, use -r`)
  }
  const { downloadTree } = await import('../downloading/download-tree.ts')
  await downloadTree(context, selection, { directory, recursive, ...how })
}

/** From a server of 1.5. */
async function storeFromOld(context: CommandContext, file: FileRef): Promise<void> {
  const { flags } = context
  const output = flags.text('output')
  if (!flags.isOn('recursive')) {
    const { downloadUnknownFile } = await import('../downloading/download-file.ts')
    return downloadUnknownFile(context, file, output)
  }
  const { storeTree } = await import('../downloading/store-tree.ts')
  const parallelism = flags.positive('parallelism')
  await storeTree(context, { file, directory: output, parallelism })
}

/** @throws {UnimplementedError} for a server of 1.5. */
async function selectOurs(
  { transport }: CommandContext,
  file: FileRef,
  flag: string,
): Promise<Selection> {
  const { select } = await import('../downloading/selection.ts')
  const selection = await select(transport, file).catch(orUndefined)
  if (selection !== undefined) return selection
  throw new UnimplementedError(
    `the server cannot do what ${flag} needs (pachyderm.Files/GetFiles): it is one of 1.5, or an older one of this project; get the files without it`,
  )
}

/** For a call that a server of 1.5 does not know. */
function orUndefined(error: unknown): undefined {
  if (isUnimplemented(error)) return undefined
  throw error
}
