import { InvalidArgumentError } from '../../base/errors.ts'
import type { PipelineName } from '../../base/names.ts'
import type { Transform } from '../executor.ts'
import { programSizeFault } from '../program-sizes.ts'
import type { RequestedTransform, Secret } from '../requested-specs.ts'
import { isEntryName, isSecretName, secretNameLengthMax } from '../secrets/secret-check.ts'

const imageLengthMax = 1024
const mountPathLengthMax = 4096
/** Where programs, their libraries and settings are: a secret there would hide all of them. */
const programPlaces =
  '/bin /sbin /lib /lib32 /lib64 /usr /usr/bin /usr/sbin /usr/lib /usr/lib64'.split(' ')
const systemPlaces = [...programPlaces, '/etc', '/var']
/** Every system has them, and container engines put their own there. */
const systemFiles = ['/etc/passwd', '/etc/group', '/etc/hosts', '/etc/hostname', '/etc/resolv.conf']
/** Where user code has things of its own, or the kernel has. */
const privatePlaces = ['/pfs', '/tmp', '/var/tmp', '/proc', '/sys', '/dev', '/.pachyderm']
const variableName = /^[A-Za-z_][A-Za-z0-9_]*$/
const ownVariable = /^(?:PFS|PACH_.*|PPS_.*)$/

/** Checks what to run. @throws {InvalidArgumentError} naming the field and what it should be. */
export function checkTransform(pipeline: PipelineName, transform: RequestedTransform): Transform {
  const refuse: Refuse = (reason) => {
    throw new InvalidArgumentError(`pipeline ${pipeline}: ${reason}`)
  }
  if (transform.command.length === 0 || transform.command[0] === '') {
    refuse('no cmd set; "transform.cmd" is the program and its arguments, e.g. ["sh", "-c", "…"]')
  }
  for (const text of [...transform.command, ...transform.stdinLines]) refuseNul(text, refuse)
  for (const [key, value] of Object.entries(transform.environment)) {
    refuseNul(value, refuse)
    if (!/^[^=\0]+$/.test(key)) {
      refuse(`${JSON.stringify(key)} is not a name for an environment variable`)
    }
    if (ownVariable.test(key)) {
      refuse(
        `transform.env has ${JSON.stringify(key)}, which says whose run it is; choose another name`,
      )
    }
  }
  const sizeFault = programSizeFault(transform)
  if (sizeFault !== undefined) refuse(sizeFault)
  for (const code of transform.acceptedReturnCodes) {
    if (!Number.isInteger(code) || code < 0 || code > 255) {
      refuse(`accept_return_code ${code} is not an exit code (0 to 255)`)
    }
  }
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  if (transform.image.length > imageLengthMax || /[\s\u0000-\u001f\u007f]/.test(transform.image)) {
    refuse(
      `transform.image ${JSON.stringify(transform.image.slice(0, imageLengthMax))} is not the name of an image, such as "python:3.12" or "localhost:5000/team/tool"`,
    )
  }
  if (transform.isWarm === true && transform.stdinLines.length > 0) {
    refuse(
      'transform.stdin is set, and with "warm" the standard input is where datums come from; put the code into "cmd", e.g. ["sh", "-c", "…"], or into a file',
    )
  }
  return {
    image: transform.image,
    command: transform.command,
    ...(transform.isWarm === true && { isWarm: true }),
    stdinLines: transform.stdinLines,
    environment: transform.environment,
    acceptedReturnCodes: transform.acceptedReturnCodes,
  }
}

type Refuse = (reason: string) => never

function refuseNul(text: string, refuse: Refuse): void {
  if (!text.includes('\0')) return
  refuse(`${JSON.stringify(text)} holds a null character, which no program can be given`)
}

/** Checks the secrets by themselves: whether they exist is looked up where the pipeline is stored. */
export function checkSecrets(
  pipeline: PipelineName,
  { secrets, imagePullSecrets, environment }: RequestedTransform,
): readonly Secret[] {
  const refuse: Refuse = (reason) => {
    throw new InvalidArgumentError(`pipeline ${pipeline}: ${reason}`)
  }
  for (const [index, name] of imagePullSecrets.entries()) {
    requireSecretName(name, `transform.image_pull_secrets[${index}]`, refuse)
  }
  const taken = new Set<string>()
  const variables = new Set(Object.keys(environment))
  for (const [index, secret] of secrets.entries()) {
    const { name, mountPath, key, envVar } = secret
    const field = `transform.secrets[${index}]`
    requireSecretName(name, `${field}.name`, refuse)
    if (key !== undefined && !isEntryName(key)) {
      refuse(
        `${field}.key ${JSON.stringify(key.slice(0, secretNameLengthMax))} is not the name of an entry: letters, digits, "-", "_" and "."`,
      )
    }
    if (envVar !== undefined) checkVariable(secret, field, variables, refuse)
    else if (mountPath === '') refuse(`${field} says neither "mount_path" nor "env_var"`)
    if (mountPath === '') continue
    const path = mountPlace(mountPath)
    if (path === undefined) {
      refuse(
        `${field}.mount_path ${JSON.stringify(mountPath.slice(0, mountPathLengthMax))} must be an absolute path without "..", and neither "/" nor in ${privatePlaces.join(', ')}`,
      )
    }
    const advice = `choose a directory of its own, such as /secrets/${name}`
    if (systemPlaces.includes(path)) {
      const what = programPlaces.includes(path) ? 'programs' : "system's files"
      refuse(`${field}.mount_path ${mountPath} would hide the ${what} that are there; ${advice}`)
    }
    const file = systemFiles.find((one) => path === one || isWithin(path, one))
    if (file !== undefined) {
      refuse(
        `${field}.mount_path ${mountPath}: ${file} is a file on every system, and a secret is shown as a directory; ${advice}`,
      )
    }
    if (taken.has(path)) refuse(`${field}.mount_path ${mountPath} is that of another secret, too`)
    const around = [...taken].find((other) => isWithin(path, other) || isWithin(other, path))
    if (around !== undefined) {
      refuse(
        `${field}.mount_path ${mountPath} and ${around}, that of another secret, are one within the other; put them side by side`,
      )
    }
    taken.add(path)
  }
  return secrets
}

/** `variables` are those that are taken; gets this one, too. */
function checkVariable(
  { key, envVar = '' }: Secret,
  field: string,
  variables: Set<string>,
  refuse: Refuse,
): void {
  const shown = JSON.stringify(envVar.slice(0, secretNameLengthMax))
  if (!variableName.test(envVar) || envVar.length > secretNameLengthMax) {
    refuse(`${field}.env_var ${shown} is not a name that shells know: letters, digits and "_"`)
  }
  if (ownVariable.test(envVar))
    refuse(`${field}.env_var ${shown} is a name that says whose run it is`)
  if (key === undefined)
    refuse(`${field} has an "env_var", and no "key" that says which entry it gets`)
  if (variables.has(envVar)) {
    refuse(`${field}.env_var ${shown} is the name of another variable, too`)
  }
  variables.add(envVar)
}

function requireSecretName(name: string, field: string, refuse: Refuse): void {
  if (isSecretName(name)) return
  refuse(
    `${field} ${JSON.stringify(name.slice(0, secretNameLengthMax))} is not the name of a secret: lower-case letters, digits, "-" and "."`,
  )
}

function isWithin(path: string, directory: string): boolean {
  return path.startsWith(`${directory}/`)
}

/** Without what says nothing; undefined for a path at which no secret can be. */
function mountPlace(path: string): string | undefined {
  if (!path.startsWith('/') || path.length > mountPathLengthMax) return undefined
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(path)) return undefined
  const names = path.split('/').filter((name) => name !== '' && name !== '.')
  const place = `/${names.join('/')}`
  if (names.length === 0 || names.includes('..')) return undefined
  const isPrivate = privatePlaces.some((one) => place === one || place.startsWith(`${one}/`))
  return isPrivate ? undefined : place
}
