"""The schedule of ChannelDropBack's authors under the name that configurations of runs hold."""

from backdrop.neighbours.channel_dropback_code import code_schedule

__all__ = ["code_schedule"]
