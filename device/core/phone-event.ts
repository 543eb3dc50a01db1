/**
 * Everything that a phone tells its user. Pure.
 */
import { type CallEvent, describeEvent } from "./call-event.ts";
import {
  type CertificateEvent,
  describeRegistration,
  type RegistrationEvent,
  type TellTime,
} from "./registration-event.ts";

export type PhoneEvent = CallEvent | RegistrationEvent | CertificateEvent;

/** The event as a sentence for a person at a terminal. */
export function describePhoneEvent(event: PhoneEvent, time: TellTime): string {
  switch (event.event) {
    case "registering":
    case "registered":
    case "flow-lost":
    case "registration-expired":
    case "registration-failed":
    case "unregistered":
    case "certificate":
    case "no-certificate":
      return describeRegistration(event, time);
    default:
      return describeEvent(event);
  }
}
