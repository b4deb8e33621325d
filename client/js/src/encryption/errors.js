/** Why a text could not be sealed, or a device not linked. Each is a `BuzzError`. */

import { BuzzError, HttpError } from "../errors.js"

/** The text was not sealed, and nothing was sent. */
export class SealingRefused extends BuzzError {
  code = "sealing_refused"
  name = "SealingRefused"
}

/** The conversation has more devices than one message can reach. */
export class TooManyDevices extends SealingRefused {
  code = "too_many_devices"
  name = "TooManyDevices"

  /** @param {number} devices @param {number} most */
  constructor(devices, most) {
    super(
      `${devices} devices would have to get the key of this message, and a message can carry it to ${most}; ` +
        "remove devices that are no longer used, or write to fewer people",
    )
    this.devices = devices
    this.most = most
  }
}

/** The sealed message would be longer than the server takes. */
export class TextTooLong extends SealingRefused {
  code = "text_too_long"
  name = "TextTooLong"

  /** @param {number} characters @param {number} most @param {number} devices that get the key with this message */
  constructor(characters, most, devices) {
    const keys = devices ? `; ${devices} devices get the conversation's key with it, send a shorter text first` : ""
    super(`the sealed message would have ${characters} characters, and ${most} are allowed${keys}`)
    this.characters = characters
    this.most = most
    this.devices = devices
  }
}

/** No device of the receiver may get the message: none is known, or none was accepted. */
export class NoReaders extends SealingRefused {
  code = "no_readers"
  name = "NoReaders"
}

/** A person's keys have changed: nothing is sealed for them until the user has looked at it. */
export class KeysChanged extends SealingRefused {
  code = "keys_changed"
  name = "KeysChanged"

  /** @param {number} personId @param {{ deviceId: string, tag: string }[]} devices those that wait for the user */
  constructor(personId, devices) {
    const names = devices.map(({ deviceId }) => JSON.stringify(deviceId)).join(", ")
    super(`the keys of person ${personId} have changed (${names}): compare, and accept or refuse, before you write`)
    this.personId = personId
    this.devices = devices
  }
}

/** Another program uses this device's keys. */
export class KeysInUse extends BuzzError {
  code = "keys_in_use"
  name = "KeysInUse"
}

/** A device could not be linked. The text says why. */
export class LinkRefused extends BuzzError {
  code = "link_refused"
  name = "LinkRefused"
}

/** Whether it would be the same another time. @param {unknown} error */
export function isFinal(error) {
  if (error instanceof HttpError) return error.status < 500 && ![408, 425, 429].includes(error.status)
  return error instanceof BuzzError || error instanceof RangeError
}
