"""Methods beside Backdrop's masks: ChannelDropBack, Y-Drop, and the conductances of units."""
