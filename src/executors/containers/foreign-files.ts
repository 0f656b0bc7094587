import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import { guardOptions, type NamespaceGuard } from './call-profile.ts'
import { bind, guardedHost, startOf } from './container-settings.ts'
import type { Engine } from './engine.ts'
import type { MadeContainers } from './made-containers.ts'
import type { SlotFiles } from './slot-files.ts'
import { staticShellName } from './static-shell.ts'

const openScript = `"$@" chown "$owner" /pfs/out /tmp /var/tmp
"$@" chmod -R a+rwX,-t /pfs/out /tmp /var/tmp`

export interface ForeignFilesPorts {
  readonly engine: Engine
  readonly containers: MadeContainers
  readonly labels: Readonly<Record<string, string>>
  /** Root in a container is the user that the engine, and so the server, is. */
  readonly isRootless: boolean
  /** The image has the programs that run, and they may be anybody's. */
  readonly namespaceGuard: NamespaceGuard
}

/**
 * Gives the server the right to remove what user code left in a slot's directory: files of users that
 * only containers have, as after a datum that was ended. It takes a container, whose root may do that.
 */
export async function openForeignFiles(
  { engine, containers, labels, isRootless, namespaceGuard }: ForeignFilesPorts,
  files: SlotFiles,
): Promise<void> {
  const hasStaticShell = existsSync(join(files.control, staticShellName))
  const start = startOf(hasStaticShell ? staticShellName : undefined)
  const user = process.geteuid?.() ?? 0
  const options = {
    Image: readFileSync(files.imageFile, 'utf8'),
    User: '0:0',
    Env: [`owner=${isRootless ? 0 : user}`],
    Entrypoint: [...start, '-c', openScript, 'sh'],
    Cmd: hasStaticShell ? start.slice(0, 1) : [],
    Labels: { ...labels },
    HostConfig: {
      ...guardedHost(guardOptions(namespaceGuard, files.path)),
      NetworkMode: 'none',
      Mounts: [
        bind(files.control, '/.pachyderm', true),
        bind(files.out, '/pfs/out', false),
        bind(files.tmp, '/tmp', false),
        bind(files.varTmp, '/var/tmp', false),
      ],
      CapAdd: ['CHOWN', 'DAC_OVERRIDE', 'FOWNER'],
    },
  }
  const container = await containers.make(options, async () => {})
  try {
    await engine.startContainer(container.id)
    // Whether it was enough shows when they are removed.
    await engine.waitForEnd(container.id)
  } finally {
    await container.remove()
  }
}
