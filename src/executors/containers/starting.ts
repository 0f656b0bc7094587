import { type DomainError, FailedPreconditionError } from '../../base/errors.ts'
import type { ContainerSettings } from './container-settings.ts'
import type { Engine, RunningContainer } from './engine.ts'

/** The image has no shell, which the runner is written for. */
export class NoShellError extends FailedPreconditionError {
  override readonly name = 'NoShellError'
}

/** @throws {NoShellError} when that is why the engine could not start it. */
export async function startContainer(
  engine: Engine,
  id: string,
  settings: ContainerSettings,
): Promise<RunningContainer> {
  try {
    return await engine.startContainer(id)
  } catch (error) {
    if (!(error instanceof FailedPreconditionError)) throw error
    const fault = mountPathFault(settings, error.message)
    if (fault !== undefined) throw new FailedPreconditionError(fault, { cause: error })
    if (settings.usesImageShell && !(await hasShell(engine, id))) {
      throw new NoShellError(
        `image ${settings.image} has no /bin/sh, which runs the command for each datum: add a shell to the image, or install a static busybox on the server's machine (Debian: apt-get install busybox-static), which is then used in its place`,
        { cause: error },
      )
    }
    throw startError(settings, error)
  }
}

async function hasShell(engine: Engine, id: string): Promise<boolean> {
  // Where the engine cannot say, its own words will do.
  return await engine.hasFile(id, '/bin/sh').catch(() => true)
}

/** What engines say of a place that cannot be mounted at names what was to be mounted: a path of the server's. */
export function mountPathFault(
  { image, secretDirectories }: Pick<ContainerSettings, 'image' | 'secretDirectories'>,
  text: string,
): string | undefined {
  const secret = secretDirectories.find(({ source }) => text.includes(source))
  if (secret === undefined) return undefined
  const advice = 'choose a directory of its own, such as /secrets'
  return /(?:is|not) a directory/i.test(text)
    ? `mount_path ${secret.target}: image ${image} has a file there, and a secret is shown as a directory; ${advice}`
    : `mount_path ${secret.target}: no secret can be shown there in a container of image ${image}; ${advice}`
}

function startError(settings: ContainerSettings, error: DomainError): FailedPreconditionError {
  const isForGraphics = settings.options.HostConfig?.DeviceRequests !== undefined
  const advice = adviceOn(error.message, isForGraphics)
  return new FailedPreconditionError(
    `a container of image ${settings.image} cannot be started: ${error.message}${advice === '' ? '' : `: ${advice}`}`,
    { cause: error },
  )
}

/** What to do about an engine's words; empty where they must do. */
export function adviceOn(text: string, isForGraphics: boolean): string {
  if (isForGraphics && /gpu|cdi/i.test(text)) {
    return 'install the NVIDIA container toolkit for the engine, or set resource_spec.gpu to 0'
  }
  if (/rlimit|ulimit/i.test(text)) {
    return 'the engine gives containers higher limits than it may: set default_ulimits under [containers] in containers.conf (Docker: default-ulimits in daemon.json) to no more than "ulimit -Hn" and "ulimit -Hu" print where the engine is started, and start it anew (docs/container-executor.md)'
  }
  if (
    /crun: .*(cgroup|hybrid)|cgroup.* (v1|hybrid)|(runtime|runc|crun)\S* (was |is )?not (found|installed)/i.test(
      text,
    )
  ) {
    return 'the engine needs a runtime that suits this machine: install runc, set runtime = "runc" under [engine] in containers.conf, and start it anew (docs/container-executor.md)'
  }
  return ''
}
