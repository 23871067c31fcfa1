"""Installation sticks: one folder that makes a PC without internet the node of a school (decision 0110)."""
